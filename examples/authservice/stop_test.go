package main

import (
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

// TestStop_SilentMailServer checks that a mail server that does not answer does not delay the stop,
// and that its email is not lost.
func TestStop_SilentMailServer(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer silent.Close()
		configuration, err := filepath.Abs("auth.yml")
		require.NoError(t, err)
		p, err := startProcess(t.TempDir(), "DATABASE_URL="+database, "AUTH_CONFIG="+configuration,
			"SESSION_SECRETS="+testSecret, "SMTP_URL=smtp://"+silent.Addr().String())
		require.NoError(t, err)
		defer p.Process.Kill()
		response, err := http.PostForm(p.url+"/register", url.Values{"name": {"Alice"}, "email": {email},
			"password": {password}})
		require.NoError(t, err)
		response.Body.Close()
		conn, err := silent.Accept() // the worker is sending
		require.NoError(t, err)
		defer conn.Close()

		began := time.Now()
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.Wait(), p.log)
		require.Less(t, time.Since(began), 25*time.Second)
		require.Equal(t, 1, strings.Count(p.log.String(), "gave up waiting"), p.log)
		require.NotContains(t, p.log.String(), "closed", "the database was closed too early")

		s := newSite(t, database) // the next copy sends it
		s.mail(email, confirmSubject, 0)
	})
}

// TestDatabaseClose_ConnectionInUse checks that Close does not wait for a connection that is in
// use.
func TestDatabaseClose_ConnectionInUse(t *testing.T) {
	db, err := openDatabase(t.Context(), config{Dialect: sqlstore.PostgreSQL, Database: testkit.PostgreSQL(t)})
	require.NoError(t, err)
	kept, err := db.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer kept.Release()
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		require.Fail(t, "Close waits for the connection")
	}
}
