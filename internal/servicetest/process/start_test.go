package process_test

import (
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// onEach runs a test on SQLite and on PostgreSQL, each with the URL of a new database.
func onEach(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"))
	})
	t.Run("PostgreSQL", func(t *testing.T) { test(t, testkit.PostgreSQL(t)) })
}

// TestStart_Concurrent starts several copies at once on a new database. They share users and
// sessions.
func TestStart_Concurrent(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		d, p := deploy(t, database, newMailbox(t, newSeed(t)).url, 4), newCheckedClient(t)
		d.start()
		require.Len(t, d.live(), 4)
		require.True(t, p.ask(d.copies[0], nil, "POST", "/register", "name", "Alice", "email", aliceEmail,
			"password", password).is("/register/sent"))
		login := p.ask(d.copies[1], nil, "POST", "/login", "email", aliceEmail, "password", password)
		require.True(t, login.is("/"))
		for _, r := range d.copies {
			ready := p.ask(r, nil, "GET", "/readyz")
			require.Equal(t, http.StatusOK, ready.status)
			require.Equal(t, "ok\n", ready.body)
			require.True(t, p.signedIn(r, login.set, aliceEmail), r.name)
		}
		for _, r := range d.copies {
			code, _ := r.stop(grace, func() {})
			require.Zero(t, code, r.name)
		}
	})
}

// TestStop_SilentMailServer checks that a mail server that does not answer does not delay the stop,
// and that its email is not lost.
func TestStop_SilentMailServer(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer silent.Close()
		const rescue = "MAIL_RESCUE_AFTER" // long, because the email must not need it
		d, p := deploy(t, database, "smtp://"+silent.Addr().String(), 1, rescue, "10m"), newCheckedClient(t)
		d.start()
		require.True(t, p.ask(d.copies[0], nil, "POST", "/register", "name", "Alice", "email", aliceEmail,
			"password", password).is("/register/sent"))
		conn, err := silent.Accept() // the worker is sending
		require.NoError(t, err)
		defer conn.Close()

		code, took := d.copies[0].stop(grace, func() {})
		require.Zero(t, code)
		require.Less(t, took, 25*time.Second)
		require.Equal(t, 1, d.logged("gave up waiting"))
		require.Zero(t, d.logged("closed"), "the database was closed too early")

		box := newMailbox(t, newSeed(t))
		deploy(t, database, box.url, 1, rescue, "10m").start() // the next copy sends it
		eventually(t, 20*time.Second, func() bool { return len(box.emails(aliceEmail, confirmSubject)) == 1 },
			"the email has not arrived")
	})
}
