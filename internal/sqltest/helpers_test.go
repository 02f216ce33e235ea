package sqltest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// patience is how long a test waits for something that must happen.
const patience = 30 * time.Second

// testContext returns a context that ends after patience.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newSession returns a new session of an identity that is valid for an hour.
func newSession(identityID string) flowhook.Session {
	now := time.Now()
	return flowhook.Session{
		ID: rand.Text(), IdentityID: identityID, AuthenticatedAt: now, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}

// signIn creates a session for the identity a in a transaction.
func signIn(t testing.TB, s store) error {
	return s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		return s.CreateSession(ctx, newSession("a"))
	})
}

// requireNone asserts that the store has none of the sessions.
func requireNone(t testing.TB, s flowhook.SessionStore, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := s.FindSession(testContext(t), id)
		require.ErrorIs(t, err, flowhook.ErrNotFound)
	}
}

// hostTable creates a table of the host with so many rows, numbered from 1.
func hostTable(t testing.TB, db *sql.DB, rows int) {
	t.Helper()
	exec(t, db, "CREATE TABLE host (id integer PRIMARY KEY, v integer NOT NULL)")
	for id := range rows {
		exec(t, db, strings.Replace("INSERT INTO host (id, v) VALUES (?, 0)", "?", itoa(id+1), 1))
	}
}

// exec runs a statement of the host.
func exec(t testing.TB, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, statement string) {
	t.Helper()
	_, err := db.ExecContext(testContext(t), statement)
	require.NoError(t, err, statement)
}

// requireOneSession asserts that 32 simultaneous logins of one user leave one session.
func requireOneSession(t *testing.T, s store) {
	id := rand.Text()
	done := make(chan error)
	for range 32 {
		go func() {
			done <- s.Transaction(testContext(t), id, func(ctx context.Context) error {
				if err := s.DeleteSessions(ctx, id, ""); err != nil {
					return err
				}
				return s.CreateSession(ctx, newSession(id))
			})
		}()
	}
	for range 32 {
		require.NoError(t, <-done)
	}
	left, err := s.ListSessions(testContext(t), id, time.Now(), 100)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// count returns the number that a query selects.
func count(t testing.TB, db *sql.DB, query string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(testContext(t), query).Scan(&n))
	return n
}

func newID() string { return rand.Text() }

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// waitUntil waits for another goroutine or process. It calls wrong until that returns "".
func waitUntil(t testing.TB, wrong func() string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		what := wrong()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// requireNoneLeft asserts at the end of the test that no goroutine has been left behind.
func requireNoneLeft(t *testing.T) {
	n := runtime.NumGoroutine()
	t.Cleanup(func() {
		waitUntil(t, func() string {
			if runtime.NumGoroutine() <= n {
				return ""
			}
			var all bytes.Buffer
			pprof.Lookup("goroutine").WriteTo(&all, 1)
			return "goroutines were left behind:\n" + all.String()
		})
	})
}

func itoa(n int) string { return strconv.Itoa(n) }
