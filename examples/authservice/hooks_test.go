package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// withConfig writes a copy of auth.yml in which old is replaced.
func withConfig(t *testing.T, old, with string) string {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(data), old), "auth.yml is not what this test expects")
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), old, with, 1)), 0o600))
	return path
}

// anyLimit is a limit in auth.yml.
var anyLimit = regexp.MustCompile(`tries: \d+, every: \w+`)

// withoutLimits writes a copy of auth.yml whose rate_limit never refuses.
func withoutLimits(t *testing.T) string {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.Len(t, anyLimit.FindAll(data, -1), 17, "auth.yml is not what this test expects")
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, anyLimit.ReplaceAll(data, []byte("tries: 1000000, every: 1ms")), 0o600))
	return path
}

// maintenanceComment is the commented-out maintenance redirect in auth.yml.
const maintenanceComment = `          # - hook: redirect
          #   config:
          #     to: /maintenance
`

// maintenanceHook is the same, uncommented.
var maintenanceHook = strings.ReplaceAll(maintenanceComment, "          # ", "          ")

// TestMaintenance uncomments the maintenance redirect in auth.yml.
func TestMaintenance(t *testing.T) {
	database := "sqlite:" + filepath.Join(t.TempDir(), "db")
	s := newSite(t, database)
	s.register(email, password)
	b := s.signedIn(email, password)

	closed := newSite(t, database, "AUTH_CONFIG", withConfig(t, maintenanceComment, maintenanceHook),
		"OIDC_PROVIDERS", "acme", "OIDC_ACME_ISSUER", newFakeProvider(t).URL, "OIDC_ACME_CLIENT_ID", "client")
	closed.browser().open("/login").at("/maintenance", "Down for maintenance")
	closed.browser().open("/login/oidc/acme").at("/maintenance", "Down for maintenance")
	closed.browser().post("/login", url.Values{"email": {email}, "password": {password}}).
		at("/maintenance", "Down for maintenance")
	require.Equal(t, 1, closed.count("flowhook_sessions"))
	for _, c := range b.client.Jar.Cookies(b.URL) { // sessions go on
		there, err := url.Parse(closed.server.URL)
		require.NoError(t, err)
		c.Secure, c.Path = true, "/"
		b.client.Jar.SetCookies(there, []*http.Cookie{c})
	}
	b.open(closed.server.URL+"/maintenance").refused(http.StatusServiceUnavailable, "You are still signed in").
		follow("Back to home").at("/", "Hello, Alice")
}

// TestHooks_BadConfig checks the errors for hooks at the wrong point or with a bad config.
func TestHooks_BadConfig(t *testing.T) {
	for _, c := range []struct{ old, with, want string }{
		{"- hook: new_device # emails", "- hook: new_devices # emails",
			`unknown hook "new_devices"; did you mean "new_device"?`},
		{maintenanceComment, "          - hook: audit\n", "allowed only at after and failed"},
		{"- hook: revoke_active_sessions # all but", "- hook: rate_limit\n              config: {name: x} # all but",
			`hook "rate_limit" takes no config`},
		{"{by: account, tries: 50, every: 5m} # one", "{by: account, tries: 0, every: 5m} # one", "limits[1]: tries is 0"},
		{"{by: client, tries: 50, every: 10s} # one", "{by: client, tries: 50, each: 10s} # one", "each"},
		{"- hook: revoke_active_sessions # all but", "- hook: new_device # all but",
			"new_device is allowed only after login"},
		{"- hook: new_device # emails", "- hook: new_device\n            config: {mail: true} # emails", "config"},
	} {
		configuration, err := readConfig(environment("sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG",
			withConfig(t, c.old, c.with)))
		require.NoError(t, err)
		configuration.PublicURL = "http://127.0.0.1:8080"
		configuration.KeptKey, configuration.OIDCKey = make([]byte, 96), make([]byte, 96)
		db, err := openDatabase(t.Context(), configuration)
		require.NoError(t, err)
		_, err = newService(configuration, db, courier(nil), nil, nil)
		require.ErrorContains(t, err, c.want)
		require.NoError(t, db.Close())
	}
}

type courier func(ctx context.Context, m flowhook.Message) error

func (c courier) Send(ctx context.Context, m flowhook.Message) error { return c(ctx, m) }

// TestPasswordChange_ConcurrentLogin checks that a concurrent login with the old password leaves no
// session, whichever is first.
func TestPasswordChange_ConcurrentLogin(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database, "AUTH_CONFIG", withoutLimits(t))
		s.register(email, password)
		const rounds = 4
		current := password
		b := s.signedIn(email, current)
		for range rounds {
			next := "the password after " + current
			if len(next) > passwordMax {
				next = password
			}
			var running sync.WaitGroup
			for range 4 {
				thief := s.browser()
				running.Go(func() {
					response, err := thief.client.PostForm(s.server.URL+"/login",
						url.Values{"email": {email}, "password": {current}})
					if err == nil {
						response.Body.Close()
					}
				})
			}
			b.open("/settings").press("Change password", "current", current, "new", next).at("/settings", "Settings")
			running.Wait()
			require.Equal(t, 1, s.count("flowhook_sessions"), "only the session that changed the password")
			b.open("/").at("/", "Hello, Alice")
			current = next
		}
		t.Logf("%d password changes, each with 4 concurrent logins with the old password: none left a session", rounds)
	})
}

// TestLogin_HookFails checks that nothing of the login is saved and that the failure is audited.
func TestLogin_HookFails(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		_, err := s.service.db.ExecContext(t.Context(), "ALTER TABLE devices RENAME TO gone")
		require.NoError(t, err)
		s.register(email, password)
		b := s.browser().open("/login").press("Sign in", "email", email, "password", password).
			refused(http.StatusInternalServerError, "your changes may not have been saved")
		require.NotContains(t, b.Body, "Nothing was changed")
		require.Empty(t, b.Header.Values("Set-Cookie"))
		require.Equal(t, 0, s.count("flowhook_sessions"))
		require.Equal(t, 0, s.count("sign_ins"))
		require.Equal(t, 1, s.count("audit WHERE point = 'login/failed/password' AND outcome = 'hook_new_device'"))
		require.Equal(t, 0, s.count("audit WHERE point = 'login/after/password'"))
		require.Len(t, s.log.lines("msg=hook", "name=new_device", "outcome=error"), 1)
	})
}
