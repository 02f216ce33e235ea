package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDevelopmentProvider checks that users keep their accounts when a restart changes the
// provider's URL.
func TestDevelopmentProvider(t *testing.T) {
	database := "sqlite:" + t.TempDir() + "/db"
	for range 2 {
		s := newSite(t, database)
		b := s.browser().open("/login").follow("Continue with the test provider")
		require.NotEqual(t, s.server.URL, "http://"+b.URL.Host)
		b.press("Sign in", "name", "Alice", "email", email).at("/", "Hello, Alice")
		require.Equal(t, 1, s.count("users WHERE verified_at IS NOT NULL"))
		b = s.browser().open("/login").follow("Continue with the test provider")
		b.press("Cancel", "name", "Alice", "email", email).at(callbackPath(developmentProvider), "Sign in").
			refused(http.StatusForbidden, "You canceled the sign-in")
	}
}

// TestDevelopmentProvider_Canceled checks that a user who cancels at the provider is back on the
// sign-in page, and still gets to where they were after signing in.
func TestDevelopmentProvider_Canceled(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.browser().open("/settings").at("/login", "Sign in").follow("Continue with the test provider")
	b.press("Cancel", "name", "Alice", "email", email).at(callbackPath(developmentProvider), "Sign in").
		refused(http.StatusForbidden, "You canceled the sign-in at the test provider.")
	require.Equal(t, 1, s.count("audit WHERE point = 'login/failed/oidc' AND outcome = 'canceled'"))
	b.press("Sign in", "email", email, "password", password).at("/settings", "Settings")
}

// TestDevelopment_Defaults starts without configuration, in a directory with only auth.yml. The
// service creates its database and its secret, and keeps both.
func TestDevelopment_Defaults(t *testing.T) {
	dir := t.TempDir()
	configuration, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "auth.yml"), configuration, 0o600))
	secret := ""
	for range 2 {
		p, err := startProcess(dir, "SESSION_SECRETS=", "DATABASE_URL=", "SMTP_URL=", "OIDC_PROVIDERS=")
		require.NoError(t, err)
		status, _ := get(t, p.url+"/dev/mail/")
		require.Equal(t, http.StatusOK, status)
		require.NoError(t, p.Process.Signal(os.Interrupt))
		require.NoError(t, p.Wait(), p.log)
		kept, err := os.ReadFile(filepath.Join(dir, "authservice.db.secret"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(strings.TrimSpace(string(kept))), 26)
		require.True(t, secret == "" || secret == string(kept))
		secret = string(kept)
		for _, name := range []string{"authservice.db", "authservice.db.secret"} {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		}
	}
}

// TestDevelopment_Check checks that the service needs no variable in development, and that check says
// what development mode means.
func TestDevelopment_Check(t *testing.T) {
	out, code := runCommand(t, t.TempDir(), nil, "check")
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "warning  development mode, because ADDR and PUBLIC_URL are loopback addresses; no email is "+
		"delivered, and every user of this machine can read it at /dev/mail/, because SMTP_URL is missing; anyone can sign "+
		"in as anyone with the test provider, because OIDC_PROVIDERS is missing\n")
	require.Contains(t, out, "errors: 0, warnings: 1\n")
}

// TestDevelopment_Warning checks that the log says what development mode means.
func TestDevelopment_Warning(t *testing.T) {
	const mode = "development mode, because ADDR and PUBLIC_URL are loopback addresses; "
	require.Len(t, startAndStop(t).lines("level=WARN", mode+"anyone can sign in as anyone with the test provider"), 1)
	require.Len(t, startAndStop(t, "SMTP_URL=").lines("level=WARN", mode+"no email is delivered"), 1)
	log := startAndStop(t, "PUBLIC_URL=https://accounts.example", "TRUSTED_PROXIES=127.0.0.1")
	require.Empty(t, log.lines("level=WARN"))
}

// TestDevelopmentInbox checks that the inbox has the service's email and that pages link to it, but
// only where the service has no mail server.
func TestDevelopmentInbox(t *testing.T) {
	database := "sqlite:" + filepath.Join(t.TempDir(), "db")
	s := newSite(t, database, "SMTP_URL", "")
	b := s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", password)
	b.at("/register/sent", "Check your email").follow("Open the development inbox")
	require.Equal(t, "/dev/mail/", b.URL.Path)
	require.Eventually(t, func() bool { return strings.Contains(b.open("/dev/mail/").Body, confirmSubject) },
		20*time.Second, 10*time.Millisecond)
	b.follow(confirmSubject).open(attribute(within(b.all("pre")[0], "a")[0], "href")).press("Confirm my address").
		at("/verify/done", "Your address is confirmed")
	require.Contains(t, b.Body, "Development mode")

	b = newSite(t, database).browser().open("/login").at("/login", "Sign in")
	require.NotContains(t, b.Body, "Development mode")
	b.open("/dev/mail/").refused(http.StatusNotFound, "Page not found")
}

// TestDevelopmentInbox_OtherHost checks that no other host name shows the inbox, as after DNS
// rebinding, and no other machine.
func TestDevelopmentInbox_OtherHost(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "PUBLIC_URL", "http://localhost:8080", "SMTP_URL", "")
	for _, c := range []struct {
		remote, host, path string
		status             int
	}{
		{"127.0.0.1:4711", "localhost:8080", "/dev/mail/", http.StatusOK},
		{"127.0.0.1:4711", "LOCALHOST", "/dev/mail/", http.StatusOK},
		{"127.0.0.1:4711", "elsewhere.example", "/dev/mail/", http.StatusTemporaryRedirect},
		{"127.0.0.1:4711", "elsewhere.example", "/static/../dev/mail/", http.StatusTemporaryRedirect},
		{"192.0.2.1:4711", "localhost:8080", "/dev/mail/", http.StatusForbidden},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", c.path, nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		w := httptest.NewRecorder()
		s.server.Config.Handler.ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code, c)
		require.Equal(t, c.status == http.StatusOK, strings.Contains(w.Body.String(), "<h1>Inbox</h1>"), c)
	}
}
