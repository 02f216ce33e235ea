package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestErrorPages(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser()
	b.open("/nowhere").refused(http.StatusNotFound, "no page at this address")
	b.open("/login/nowhere").refused(http.StatusNotFound, "no page at this address")
	b.post("/", nil).refused(http.StatusMethodNotAllowed, "Something was wrong with what your browser sent.")
	require.Equal(t, "GET, HEAD", b.Header.Get("Allow"))
	b.open("/verify").at("/verify", "Confirm your address")
	b.post("/verify", url.Values{"token": {"nonsense"}}).refused(http.StatusGone, "no longer works")
	b.post("/login", url.Values{"email": {email}, "password": {strings.Repeat("x", bodyMax)}}).
		refused(http.StatusRequestEntityTooLarge, "What you entered is too long.")
	b.open("/login?a=%zz").refused(http.StatusBadRequest, "Something was wrong with what your browser sent.")
	b.open("/static/style.css")
	require.Equal(t, http.StatusOK, b.Status)
	require.Equal(t, "text/css; charset=utf-8", b.Header.Get("Content-Type"))
	b.open("/favicon.ico")
	require.Equal(t, "image/svg+xml", b.Header.Get("Content-Type"))
	b.open("/maintenance").at("/maintenance", "Down for maintenance").
		refused(http.StatusServiceUnavailable, "Please come back later")
	require.Equal(t, "300", b.Header.Get("Retry-After"))
	require.Equal(t, "max-age=31536000", b.Header.Get("Strict-Transport-Security"))
	b.follow("Try again").at("/login", "Sign in") // maintenance is over

	r, err := http.NewRequest("HEAD", s.server.URL+"/", nil)
	require.NoError(t, err)
	response, err := b.client.Do(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
}

// TestCrossOrigin checks that forms of other sites are refused.
func TestCrossOrigin(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	for _, path := range []string{"/logout", "/sessions/end-all", "/settings/profile", "/settings/password", "/login",
		"/register", "/verify"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site",
			"Origin": "https://elsewhere.example"} {
			r, err := http.NewRequest("POST", s.server.URL+path, strings.NewReader("name=Eve&email=eve@example.org"))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(name, value)
			response, err := b.client.Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			response.Body.Close()
			require.Equal(t, http.StatusForbidden, response.StatusCode, "%s, %s", path, name)
			require.Contains(t, string(body), "sent from another website, so nothing was changed.")
		}
	}
	b.open("/").at("/", "Hello, Alice")
}

// TestDatabaseDown checks that the answer is a complete page with status 503, and that the service
// recovers without a restart.
func TestDatabaseDown(t *testing.T) {
	url := newPostgreSQL(t)
	s := newSite(t, url)
	s.register(email, password)
	b := s.signedIn(email, password)
	s.browser().open("/readyz").refused(http.StatusOK, "ok")

	admin := func(query string) {
		db, err := openDatabase(t.Context(), config{Dialect: "postgres", Database: os.Getenv("FLOWHOOK_POSTGRES")})
		require.NoError(t, err)
		defer db.Close()
		_, err = db.ExecContext(context.Background(), query)
		require.NoError(t, err)
	}
	name := url[strings.LastIndex(url, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	admin("ALTER DATABASE " + name + " ALLOW_CONNECTIONS false")
	t.Cleanup(func() { admin("ALTER DATABASE " + name + " ALLOW_CONNECTIONS true") })
	admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'")
	s.allUnavailable(b)
	admin("ALTER DATABASE " + name + " ALLOW_CONNECTIONS true")
	b.open("/").at("/", "Hello, Alice")
	s.signedIn(email, password)
	s.browser().open("/readyz").refused(http.StatusOK, "ok")
}

// TestIsUnavailable checks which errors mean that the database is down, stopping or overloaded.
func TestIsUnavailable(t *testing.T) {
	for _, err := range []error{
		io.ErrUnexpectedEOF, driver.ErrBadConn, sql.ErrConnDone, context.DeadlineExceeded, sqlstore.ErrConflict,
		pgxstore.ErrUnknownOutcome, syscall.ECONNREFUSED, syscall.EPIPE,
		&net.OpError{Op: "read", Err: errors.New("reset")},
		&pgconn.PgError{Code: "57P01"}, &pgconn.PgError{Code: "57P03"}, &pgconn.PgError{Code: "53300"},
		&pgconn.PgError{Code: "40P01"}, &pgconn.PgError{Code: "25006"},
		sqliteError(5), sqliteError(6 | 1<<8), sqliteError(10 | 1<<8), sqliteError(13),
	} {
		require.True(t, isUnavailable(&flowhook.HookError{Err: fmt.Errorf("in the store: %w", err)}), "%v", err)
	}
	for _, err := range []error{
		errors.New("another"), &pgconn.PgError{Code: "42P01"}, &pgconn.PgError{Code: "23505"}, sqliteError(1),
		sqliteError(2067), flowhook.ErrPhaseSkipped, sql.ErrNoRows,
	} {
		require.False(t, isUnavailable(fmt.Errorf("in the store: %w", err)), "%v", err)
	}
}

type sqliteError int

func (e sqliteError) Error() string { return "SQLite error" }
func (e sqliteError) Code() int     { return int(e) }

// TestDatabaseDown_SQLite closes the database, because SQLite has no server to stop.
func TestDatabaseDown_SQLite(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	b := s.signedIn(email, password)
	require.NoError(t, s.outbox.Stop(t.Context()))
	require.NoError(t, s.service.db.DB.Close())
	s.allUnavailable(b)
}

func (s *site) allUnavailable(b *browser) {
	for range connections + 1 { // once for each connection that may be broken
		b.open("/").refused(http.StatusServiceUnavailable, "may not have been saved")
	}
	require.NotEmpty(s.t, b.Header.Get("Retry-After"))
	for _, path := range []string{"/settings", "/sessions"} {
		b.open(path).refused(http.StatusServiceUnavailable, "may not have been saved")
	}
	// these need no database, even with a session
	for _, path := range []string{"/login", "/register", "/verify", "/nowhere"} {
		b.open(path)
		require.Less(s.t, b.Status, 500, path)
		require.False(s.t, b.hasHeader(), path)
	}
	for _, path := range []string{"/login", "/logout", "/register", "/verify", "/settings/profile",
		"/settings/password", "/sessions/end", "/sessions/end-all"} {
		b.post(path, url.Values{"name": {"Eve"}, "email": {"eve@example.org"}, "password": {password},
			"token": {strings.Repeat("A", 43)}}).
			refused(http.StatusServiceUnavailable, "may not have been saved")
		require.Empty(s.t, b.Header.Get("Set-Cookie"), path)
	}
	s.browser().open("/login").at("/login", "Sign in") // needs no database
	s.browser().open("/readyz").refused(http.StatusServiceUnavailable, "database not ready")
}

// TestRefused_WithoutStatus checks that a Refusal without a status is a 403, also in a form.
func TestRefused_WithoutStatus(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	for _, path := range []string{"/recovery", "/nowhere"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", path, nil)
		s.service.refused(w, r, &flowhook.Refusal{Code: "blocked", Text: "Not today."})
		require.Equal(t, http.StatusForbidden, w.Code, path)
		require.Contains(t, w.Body.String(), "Not today.", path)
	}
}
