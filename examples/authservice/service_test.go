package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook/examples/dev/inbox"
	"github.com/stretchr/testify/require"
)

// TestMain runs the service if a test started this binary as the service.
func TestMain(m *testing.M) {
	if os.Getenv("FLOWHOOK_TEST_PROCESS") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const testSecret = "a-secret-for-tests-0123456789abcdef"

// onEach runs a test on SQLite and on PostgreSQL, each with the URL of a new database.
func onEach(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, newPostgreSQL(t)) })
}

// environment returns a getenv for tests. pairs overrides the defaults.
func environment(database string, pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		switch name {
		case "DATABASE_URL":
			return database
		case "SESSION_SECRETS":
			return testSecret
		case "ADDR":
			return "127.0.0.1:0"
		case "SMTP_URL":
			return "smtp://127.0.0.1:1"
		case "MAIL_FROM":
			return "accounts@example.org"
		}
		return ""
	}
}

// A site is the service, running on a TLS server. It sends its email to an inbox of the test.
type site struct {
	*app
	t      *testing.T
	emails *inbox.Inbox
	server *httptest.Server
	log    *lockedBuffer
	ahead  atomic.Int64 // how far the service's clock is ahead
}

func newSite(t *testing.T, database string, pairs ...string) *site {
	return newLimitedSite(t, database, limits{requestTime, answerTime, auditTime}, pairs...)
}

func newLimitedSite(t *testing.T, database string, l limits, pairs ...string) *site {
	emails, err := inbox.Open(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { emails.Close() })
	c, err := readConfig(environment(database, append(pairs, "SMTP_URL", emails.URL())...))
	require.NoError(t, err)
	c.Limits = l
	s := &site{t: t, emails: emails, server: httptest.NewUnstartedServer(nil), log: &lockedBuffer{}}
	if c.PublicURL == "" {
		c.PublicURL = "https://" + s.server.Listener.Addr().String()
	}
	require.NoError(t, c.listening(s.server.Listener.Addr()))
	s.app, err = open(t.Context(), c, newLogger(s.log, "text", slog.LevelDebug))
	require.NoError(t, err)
	s.service.now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	t.Cleanup(func() {
		s.server.Close()
		s.close() // fails if a test has already closed the database
	})
	s.server.Config.Handler, err = s.service.handler()
	require.NoError(t, err)
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelInfo)
	s.server.StartTLS()
	require.NoError(t, s.start(t.Context()))
	return s
}

func (s *site) browser() *browser { return newBrowser(s.t, s.server) }

// mail waits for the email with this recipient and subject that arrives after seen others like it.
func (s *site) mail(to, subject string, seen int) inbox.Email {
	s.t.Helper()
	var found []inbox.Email
	require.Eventually(s.t, func() bool {
		found = found[:0]
		for _, e := range s.emails.Emails() { // newest first
			if slices.Contains(e.To, to) && e.Subject == subject {
				found = append(found, e)
			}
		}
		return len(found) > seen
	}, 20*time.Second, 10*time.Millisecond, "no email %q", subject)
	require.Len(s.t, found, seen+1)
	return found[0]
}

const (
	confirmSubject  = "Please confirm your address"
	takenSubject    = "You already have an account"
	deviceSubject   = "New sign-in to your account"
	passwordSubject = "Your password was changed"
	newSubject      = "Please confirm your new address"
	changeSubject   = "Request to change your email address"
	recoverySubject = "Reset your password"
	codeSubject     = "Your password reset code"
)

// register creates an account and confirms its address.
func (s *site) register(email, password string) {
	s.t.Helper()
	b := s.browser()
	b.open("/register").press("Register", "name", "Alice", "email", email, "password", password).
		at("/register/sent", "Check your email")
	b.open(s.mail(email, confirmSubject, 0).Links[0]).press("Confirm my address").
		at("/verify/done", "Your address is confirmed")
}

// signedIn returns a browser in which the user is signed in.
func (s *site) signedIn(email, password string) *browser {
	s.t.Helper()
	return s.browser().open("/login").press("Sign in", "email", email, "password", password).at("/", "Hello, Alice")
}

// count counts rows. from is the rest of the query, after FROM.
func (s *site) count(from string, args ...any) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.service.db.QueryRowContext(context.Background(), "SELECT count(*) FROM "+from,
		args...).Scan(&n))
	return n
}

// someoneWaits returns when a transaction waits for the advisory lock of another, on PostgreSQL.
func (s *site) someoneWaits(ctx context.Context) error {
	for s.count("pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database "+
		"WHERE datname = current_database())") == 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// A lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) lines(containing ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if !slices.ContainsFunc(containing, func(s string) bool { return !strings.Contains(line, s) }) {
			found = append(found, line)
		}
	}
	return found
}
