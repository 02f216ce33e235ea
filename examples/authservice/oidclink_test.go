package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	connectedSubject    = "A sign-in method was added"
	disconnectedSubject = "A sign-in method was removed"
)

// connects connects a provider, except for its callback.
func (b *browser) connects(name string, values ...string) *browser {
	b.t.Helper()
	return b.open("/settings").press("Connect "+name, values...).
		at("/settings/providers/"+strings.ToLower(name)+"/connect", "Continue to "+name)
}

// connecting returns the callback of a browser that connects Acme.
func (b *browser) connecting() *url.URL {
	b.t.Helper()
	b.connects("Acme", "current", password)
	return b.stopping(func() { b.follow("Continue to Acme") })
}

// refresh returns the URL that the page leads to on its own.
func (b *browser) refresh() string {
	b.t.Helper()
	for _, n := range b.all("meta") {
		if attribute(n, "http-equiv") == "refresh" {
			target, found := strings.CutPrefix(attribute(n, "content"), "0;url=")
			require.True(b.t, found)
			return target
		}
	}
	require.FailNow(b.t, "the page does not lead on")
	return ""
}

// TestConnect connects two providers with an account, signs in with each, and disconnects one.
func TestConnect(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, globex := newProvidersSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		acme.is("7", "alice@acme.example", false) // the address does not matter
		b.connects("Acme", "current", password)
		for _, n := range b.all("a") {
			if text(n) == "Continue to Acme" {
				require.Equal(t, attribute(n, "href"), b.refresh())
			}
		}
		b.open(b.refresh()).at("/settings", "Settings").refused(http.StatusOK, "You can now sign in with Acme.")
		require.Contains(t, s.mail(email, connectedSubject, 0).Text, "Acme was connected to your account at")
		b.open("/settings").refused(http.StatusOK, "Connected since "+s.service.now().UTC().Format("Jan 2, 2006"))
		require.NotContains(t, b.Body, "You can now sign in with Acme.", "it is said once")
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/after/oidc' AND outcome = 'ok' AND user_id IS NOT NULL"))

		globex.is("8", "alice@globex.example", true)
		b.connects("Globex", "current", password).follow("Continue to Globex").at("/settings", "Settings")
		for _, provider := range []string{"acme", "globex"} {
			s.browser().open("/login/oidc/"+provider).at("/", "Hello, Alice").refused(http.StatusOK, email)
		}
		require.Equal(t, 1, s.count("users"))
		s.mail(email, connectedSubject, 1)

		other := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		b.open("/settings").press("Disconnect Acme", "current", "wrong").
			refused(wrong, "This is not your current password.").at("/settings/providers/acme/disconnect", "Settings")
		require.Equal(t, 2, s.count("oidc_identities"))
		b.press("Disconnect Acme", "current", password).at("/settings", "Settings").
			refused(http.StatusOK, "You can no longer sign in with Acme. You are signed out everywhere else.")
		require.Contains(t, s.mail(email, disconnectedSubject, 0).Text, "Acme was disconnected from your account")
		other.open("/settings").at("/login", "Sign in")
		require.Equal(t, 1, s.count("flowhook_sessions"))
		require.Equal(t, 3, s.count("audit WHERE point = 'settings/after/oidc' AND outcome = 'ok'"))
		s.browser().open("/login/oidc/acme").refused(http.StatusForbidden, "Your email address is not verified at Acme")
		s.browser().open("/login/oidc/globex").at("/", "Hello, Alice")
		b.post("/settings/providers/acme/disconnect", url.Values{"current": {password}}).at("/settings", "Settings")
		require.Equal(t, 1, s.count("oidc_identities"), "a second click disconnects nothing else")
	})
}

// TestConnect_Again checks that connecting what is connected changes nothing, and that a provider is
// connected once.
func TestConnect_Again(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, _ := newProvidersSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		first := b.connecting()
		b.connecting() // replaces the first
		b.open(first.String()).refused(http.StatusForbidden, "was not started in this browser")
		b.open(b.connecting().String()).at("/settings", "Settings")
		again := func() *browser {
			return b.post("/settings/providers/acme/connect", url.Values{"current": {password}}).follow("Continue to Acme")
		}
		again().at("/settings", "Settings").refused(http.StatusOK, "You can now sign in with Acme.")
		acme.is("2", "else@example.org", true)
		again().at(callbackPath("acme"), "Not connected").
			refused(http.StatusForbidden, "You are already connected to another account at Acme.").
			follow("Back to settings").at("/settings", "Settings")
		require.Equal(t, 1, s.count("oidc_identities WHERE subject = '1'"))
		require.Equal(t, 1, s.count("oidc_identities"))
		s.mail(email, connectedSubject, 0)
	})
}

// TestConnect_NeedsPassword checks that a signed-in browser alone connects and disconnects nothing,
// and that guessing the password there is limited.
func TestConnect_NeedsPassword(t *testing.T) {
	s, acme, _ := newProvidersSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	for range 7 { // right passwords are no attempts
		b.connects("Acme", "current", password)
	}
	b.open("/settings/providers/acme/connect").at("/settings", "Settings")
	b.open("/settings").press("Connect Globex", "current", "").refused(wrong, "This is not your current password.")
	for range 5 {
		b.open("/settings").press("Connect Acme", "current", "wrong").at("/settings/providers/acme/connect", "Settings").
			refused(wrong, "This is not your current password.")
		require.Equal(t, "current", b.focused())
		require.Empty(t, b.Header.Values("Set-Cookie"))
		details := 0
		for _, n := range b.all("details") {
			for _, a := range n.Attr {
				if a.Key == "open" {
					details++
				}
			}
		}
		require.Equal(t, 1, details, "the form with the error is open")
	}
	for _, button := range []string{"Connect Acme", "Connect Globex"} {
		b.open("/settings").press(button, "current", password).refused(tooMany, "There were too many attempts.")
	}
	require.Nil(t, acme.asked)
	require.Equal(t, 0, s.count("oidc_identities"))
	require.Equal(t, 5, s.count("audit WHERE point = 'settings/failed/oidc' AND outcome = 'wrong_password'"))
	b.post("/settings/providers/initech/connect", url.Values{"current": {password}})
	require.Equal(t, tooMany, b.Status)
}

// TestConnect_Forged checks that a callback connects nothing unless the user who started it is still
// signed in there, with the same password.
func TestConnect_Forged(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, _, _ := newProvidersSite(t, database)
		s.register(email, password)
		s.register("bob@example.org", password)
		const gone = "You are no longer signed in to the account for which you started this."

		// Mallory sends Alice the link that connects his identity.
		mallory, alice := s.signedIn("bob@example.org", password), s.signedIn(email, password)
		callback := mallory.connecting()
		alice.open(callback.String()).refused(http.StatusForbidden, "was not started in this browser").
			follow("Sign in again").at("/login", "Sign in again")
		alice.connecting()
		alice.open(callback.String()).refused(http.StatusForbidden, "was not started in this browser")

		// The user has signed out, is signed in to another account or again, or the session was ended
		// elsewhere.
		callback = alice.connecting()
		alice.open("/").press("Sign out").open(callback.String()).at(callbackPath("acme"), "Sign in").
			refused(http.StatusForbidden, gone).press("Sign in", "email", email, "password", password).
			at("/settings", "Settings")
		callback = alice.connecting()
		alice.open("/").press("Sign out").open("/login").press("Sign in", "email", "bob@example.org", "password", password).
			open(callback.String()).at(callbackPath("acme"), "Not connected").refused(http.StatusForbidden, gone)
		callback = mallory.connecting()
		s.signedIn("bob@example.org", password).open("/sessions").press("Sign out everywhere")
		mallory.open(callback.String()).refused(http.StatusForbidden, gone)

		// The password has changed.
		alice = s.signedIn(email, password)
		callback = alice.connecting()
		alice.open("/settings").press("Change password", "current", password, "new", newPassword).at("/settings", "Settings")
		alice.open(callback.String()).refused(http.StatusForbidden, "was just changed in another session")
		require.Equal(t, 0, s.count("oidc_identities"))
		require.Equal(t, 3, s.count("audit WHERE point = 'settings/failed/oidc' AND outcome = 'bad_attempt'"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/oidc' AND outcome = 'changed_meanwhile'"))

		// The attempt of a sign-in signs in, and connects nothing.
		callback = alice.stopping(func() { alice.open("/login/oidc/acme") })
		alice.open(callback.String()).refused(http.StatusForbidden, "already exists")
		require.Equal(t, 0, s.count("oidc_identities"))
	})
}

// TestConnect_OtherAccount checks that an identity has one account, and that the refusal does not
// say which.
func TestConnect_OtherAccount(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, _ := newProvidersSite(t, database)
		s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		s.register("bob@example.org", password)
		b := s.signedIn("bob@example.org", password)
		b.open(b.connecting().String()).at(callbackPath("acme"), "Not connected").
			refused(http.StatusForbidden, "Your account at Acme is already connected to another account here.")
		require.NotContains(t, b.Body, email)
		require.Equal(t, 1, s.count("oidc_identities"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/oidc' AND outcome = 'connected_elsewhere'"))

		callback := b.connecting()
		callback.RawQuery += "&error=access_denied"
		b.open(callback.String()).refused(http.StatusForbidden, "You canceled the sign-in at Acme. Nothing was changed.").
			follow("Back to settings").at("/settings", "Settings")
		callback = b.connecting()
		acme.Close()
		b.open(callback.String()).refused(http.StatusServiceUnavailable, "cannot be reached")
	})
}

// TestConnect_Race checks that of two accounts that connect the same identity at once, one does.
func TestConnect_Race(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, _ := newProvidersSite(t, database)
		var browsers []*browser
		for _, who := range []string{email, "bob@example.org"} {
			s.register(who, password)
			browsers = append(browsers, s.signedIn(who, password))
		}
		for _, subject := range []string{"1", "2", "3"} {
			acme.is(subject, email, true)
			var running sync.WaitGroup
			for _, b := range browsers {
				callback := b.connecting().String()
				running.Go(func() { b.open(callback) })
			}
			running.Wait()
			require.Equal(t, 1, s.count("oidc_identities WHERE subject = $1", subject))
			winner, loser := browsers[0], browsers[1]
			if winner.Status != http.StatusOK {
				winner, loser = loser, winner
			}
			winner.at("/settings", "Settings").press("Disconnect Acme", "current", password).at("/settings", "Settings")
			loser.refused(http.StatusForbidden, "is already connected to another account here")
		}
	})
}

// TestConnect_Unconfirmed checks that nobody connects a provider with an account whose address may be
// a stranger's, who would take the account over together with the provider.
func TestConnect_Unconfirmed(t *testing.T) {
	s, _, _ := newProvidersSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	callback := b.connecting()
	s.unconfirm()
	b.open("/settings").refused(http.StatusOK, "To connect it, confirm your email address first.")
	b.post("/settings/providers/acme/connect", url.Values{"current": {password}}).
		refused(wrong, "Confirm your email address before you connect a provider.")
	b.open(callback.String()).at(callbackPath("acme"), "Not connected").
		refused(http.StatusForbidden, "Confirm your email address before you connect a provider.")
	require.Equal(t, 0, s.count("oidc_identities"))
}

// TestConnect_OtherCallback checks that a callback of another attempt, which any site can send, does not
// end an attempt in progress.
func TestConnect_OtherCallback(t *testing.T) {
	s, _, _ := newProvidersSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	callback := b.connecting()
	b.open(callbackPath("acme")+"?state=x&code=y").refused(http.StatusForbidden, "was not started in this browser")
	b.open(callbackPath("globex")+"?"+callback.RawQuery).refused(http.StatusForbidden, "was not started in this browser")
	b.open(callback.String()).at("/settings", "Settings").refused(http.StatusOK, "You can now sign in with Acme.")
}
