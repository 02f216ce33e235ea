package main

import (
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const staleText = "because you signed in too long ago"

// TestMethods_NoPassword checks that a user without a password must have been authenticated again by
// a connected provider, whichever it is.
func TestMethods_NoPassword(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, globex := newProvidersSite(t, database)
		b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		act := func(what string) *browser { return b.post("/settings/providers/"+what, nil) }
		const only = "This is your only way to sign in"
		b.open("/settings").refused(http.StatusOK, only)
		require.NotContains(t, b.Body, "Connect Globex")
		act("globex/connect").at("/settings", "Settings").refused(http.StatusOK, staleText)
		act("acme/disconnect").at("/settings", "Settings").refused(http.StatusOK, staleText)

		acme.authenticates()
		b.open("/settings").follow("Continue with Acme").at("/settings", "Settings")
		require.NotContains(t, b.Body, "Disconnect Acme")
		act("acme/disconnect").at("/settings/providers/acme/disconnect", "Settings").
			refused(wrong, "This is your only way to sign in. Set a password first.")
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/oidc' AND outcome = 'last_method'"))
		globex.is("8", "other@example.org", true)
		b.open("/settings").press("Connect Globex").at("/settings/providers/globex/connect", "Continue to Globex").
			follow("Continue to Globex").at("/settings", "Settings").refused(http.StatusOK, "You can now sign in with Globex.")
		require.Equal(t, 2, s.count("oidc_identities"))
		require.Equal(t, 1, s.count("users"))

		s.ahead.Add(int64(freshFor))
		act("acme/disconnect").refused(http.StatusOK, staleText)
		s.ahead.Add(-int64(freshFor))
		globex.authenticates()
		b = s.browser().open("/login/oidc/globex").at("/", "Hello, Alice").open("/settings").
			refused(http.StatusOK, "You sign in with Acme or Globex.").
			follow("Continue with Globex").at("/settings", "Settings")
		b.press("Disconnect Acme").at("/settings", "Settings").refused(http.StatusOK, "You can no longer sign in with Acme.")
		b.open("/settings").refused(http.StatusOK, only)
		require.NotContains(t, b.Body, "Disconnect Globex")
		b.press("Set password", "new", newPassword).at("/settings", "Settings").
			press("Disconnect Globex", "current", newPassword).at("/settings", "Settings")
		require.Equal(t, 0, s.count("oidc_identities"))
		s.signedIn(email, newPassword)
	})
}

// TestDisconnect_Race checks that two requests that disconnect the last two providers at once leave
// one.
func TestDisconnect_Race(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, globex := newProvidersSite(t, database)
		b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		acme.authenticates()
		b.open("/login/oidc/acme?fresh").at("/", "Hello, Alice")
		globex.is("8", "other@example.org", true)
		for range 3 {
			for _, name := range []string{"Acme", "Globex"} {
				if b.open("/settings"); s.count("oidc_identities") < 2 && contains(b, "Connect "+name) {
					b.press("Connect " + name).follow("Continue to " + name)
				}
			}
			require.Equal(t, 2, s.count("oidc_identities"))
			tabs := []*browser{{t: t, base: b.base, client: b.client}, {t: t, base: b.base, client: b.client}}
			var running sync.WaitGroup
			for i, key := range []string{"acme", "globex"} {
				running.Go(func() { tabs[i].post("/settings/providers/"+key+"/disconnect", nil) })
			}
			running.Wait()
			require.Equal(t, 1, s.count("oidc_identities"))
			require.ElementsMatch(t, []int{http.StatusOK, wrong}, []int{tabs[0].Status, tabs[1].Status})
		}
	})
}

// contains reports whether a page has a button with this text.
func contains(b *browser, label string) bool {
	for _, n := range b.all("button") {
		if text(n) == label {
			return true
		}
	}
	return false
}

// TestMethods_Unconfigured checks that a provider that OIDC_PROVIDERS no longer has is listed and can
// be disconnected, but does not count as a way to sign in.
func TestMethods_Unconfigured(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, _ := newProvidersSite(t, database)
		b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		acme.authenticates()
		b.open("/login/oidc/acme?fresh").at("/", "Hello, Alice")
		_, err := s.service.db.Exec("INSERT INTO oidc_identities (issuer, subject, user_id, created_at) " +
			"SELECT 'https://initech.example/realm', '1', id, 0 FROM users")
		require.NoError(t, err)
		b.open("/settings").refused(http.StatusOK, "initech.example")
		require.NotContains(t, b.Body, "Continue with initech")
		b.post("/settings/providers/acme/disconnect", nil).refused(wrong, "This is your only way to sign in.")

		// Acme is gone, too. This browser is still signed in.
		_, err = s.service.db.Exec("UPDATE oidc_identities SET issuer = 'https://umbrella.example' WHERE issuer = $1",
			acme.URL)
		require.NoError(t, err)
		b.post("/settings/providers/"+unknownMethod("https://umbrella.example").Key+"/disconnect", nil).
			refused(wrong, "This is your only way to sign in.")
		b.open("/settings").press("Set password", "new", newPassword).at("/settings", "Settings")
		for _, name := range []string{"initech.example", "umbrella.example"} {
			b.open("/settings").press("Disconnect "+name, "current", newPassword).at("/settings", "Settings").
				refused(http.StatusOK, "You can no longer sign in with "+name)
		}
		require.Equal(t, 0, s.count("oidc_identities"))
	})
}

// TestDisconnect_Unconfirmed checks that no email about methods goes to an address that may be a
// stranger's.
func TestDisconnect_Unconfirmed(t *testing.T) {
	s, _, _ := newProvidersSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	b.open(b.connecting().String()).at("/settings", "Settings")
	s.unconfirm()
	emails := s.count("river_job")
	b.open("/settings").press("Disconnect Acme", "current", password).at("/settings", "Settings")
	require.Equal(t, emails, s.count("river_job"))
	require.Equal(t, 0, s.count("oidc_identities"))
}

// unconfirm makes all addresses unconfirmed, as a change of the address without verify_new_address
// does.
func (s *site) unconfirm() {
	s.t.Helper()
	_, err := s.service.db.ExecContext(s.t.Context(), "UPDATE users SET verified_at = NULL")
	require.NoError(s.t, err)
}

// TestMethods_SessionEnded checks that the forms of a user whose session was ended elsewhere change
// nothing.
func TestMethods_SessionEnded(t *testing.T) {
	s, _, _ := newProvidersSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	b.open(b.connecting().String()).at("/settings", "Settings")
	s.signedIn(email, password).open("/sessions").press("Sign out everywhere")
	b.press("Disconnect Acme", "current", password).at("/login", "Sign in")
	b.post("/settings/providers/globex/connect", url.Values{"current": {password}}).at("/login", "Sign in")
	require.Equal(t, 1, s.count("oidc_identities"))
}
