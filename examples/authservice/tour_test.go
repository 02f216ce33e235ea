package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	email    = "alice@example.org"
	password = "correct horse battery staple"
)

// TestTour goes through the pages as a user does.
func TestTour(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		b := s.browser()
		b.open("/").at("/", "Welcome").follow("Register").at("/register", "Register")
		b.press("Register", "name", "Alice", "email", email, "password", password).at("/register/sent", "We have sent you a mail")
		require.NotContains(t, b.Header.Get("Set-Cookie"), "session")
		b.open("/settings").at("/login", "Sign in") // who registers is not signed in

		link := s.mail(email, confirmSubject, 0).Links[0]
		s.browser().open(link).at("/verify", "Confirm your address") // a scanner follows the link, and presses no button
		require.Equal(t, 1, s.count("users WHERE verified_at IS NULL"))
		b.open("/login").press("Sign in", "email", "ALICE@Example.Org", "password", password).at("/", "Hello, Alice")
		require.Contains(t, b.Body, "not confirmed yet")
		b.open(link).press("Confirm my address").at("/verify/done", "Your address is confirmed")
		b.follow("Go on").at("/", "Hello, Alice")
		require.Contains(t, b.Body, "is confirmed")
		b.open(link).press("Confirm my address").refused(http.StatusGone, "of no use any more")

		phone := s.signedIn(email, password)
		device := s.mail(email, deviceSubject, 0)
		require.Contains(t, device.Text, "Firefox on Linux")
		require.Equal(t, []string{s.server.URL + "/sessions"}, device.Links)
		phone.press("Sign out").at("/", "Welcome")
		phone.open("/settings").at("/login", "Sign in")
		b.open("/settings").at("/settings", "Settings")
		require.Len(t, s.log.lines("msg=hook", "name=new_device", "outcome=ok"), 2)
		require.Empty(t, s.log.lines("token="))
	})
}

func TestSettings(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)

		b.follow("Settings").at("/settings", "Settings")
		b.press("Save profile", "name", "Alice L.", "email", "new@Example.ORG", "current", password).at("/settings", "Settings")
		require.Contains(t, b.Body, "Your changes are saved.")
		require.Contains(t, b.Body, `value="new@example.org"`)
		require.Equal(t, 1, s.count("users WHERE verified_at IS NULL"))
		first := s.mail("new@example.org", confirmSubject, 0).Links[0]

		b.press("Send a new link").at("/settings/sent", "A link is on its way")
		require.Contains(t, b.Body, "There is at most one a minute.")
		require.Equal(t, 3, s.count("river_job"), "not within a minute")
		s.ahead.Add(int64(2 * time.Minute))
		b.open("/settings").press("Save profile", "email", email, "current", password)
		s.mail(email, confirmSubject, 1)
		b.open(first).press("Confirm my address").refused(http.StatusGone, "the address has changed")
		require.Equal(t, 1, s.count("users WHERE verified_at IS NULL"))
		b.open("/settings").press("Save profile", "email", "new@example.org", "current", password)
		b.open(first).press("Confirm my address").at("/verify/done", "Your address is confirmed") // the refusal has not used it up
		require.Equal(t, 0, s.count("users WHERE verified_at IS NULL"))
		b.open("/settings").press("Save profile", "name", "Alice")
		require.Equal(t, 0, s.count("users WHERE verified_at IS NULL"), "the address is the same")

		s.register("bob@example.org", password)
		b.open("/settings").press("Save profile", "email", "BOB@example.org", "current", password).refused(http.StatusUnprocessableEntity, "This address cannot be used.")
		b.open("/settings").press("Save profile", "name", " ", "email", "nonsense").refused(http.StatusUnprocessableEntity, "Enter your name.")
		require.Contains(t, b.Body, "Enter an email address")
		b.open("/settings").press("Save profile", "name", "a\x00b").refused(http.StatusUnprocessableEntity, "Use letters")

		other := s.signedIn("new@example.org", password)
		b.open("/settings").press("Change password", "current", "wrong", "new", "another password").refused(http.StatusUnprocessableEntity, "not your current password")
		b.open("/settings").press("Change password", "current", password, "new", "short").refused(http.StatusUnprocessableEntity, "at least 8")
		other.open("/settings").at("/settings", "Settings")
		b.open("/settings").press("Change password", "current", password, "new", "another password").at("/settings", "Settings")
		other.open("/settings").at("/login", "Sign in") // signed out
		other.press("Sign in", "email", "new@example.org", "password", password).refused(http.StatusUnprocessableEntity, "is wrong")
		other.press("Sign in", "email", "new@example.org", "password", "another password").at("/", "Hello, Alice")

		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/password' AND outcome = 'wrong_password'"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/after/password' AND outcome = 'ok'"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'address_taken'"))
	})
}

func TestSessions(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		a, b, c := s.signedIn(email, password), s.signedIn(email, password), s.signedIn(email, password)
		a.follow("Sessions").at("/sessions", "Your sessions")
		require.Len(t, within(a.all("ul")[0], "li"), 3)
		require.Contains(t, text(a.doc), "Firefox on Linux this one")

		c.press("Sign out").at("/", "Welcome")
		b.open("/sessions").press("End") // the newest: its own
		require.Equal(t, "/login", b.URL.Path)
		a.open("/sessions").at("/sessions", "Your sessions")
		require.Len(t, within(a.all("ul")[0], "li"), 1)

		eve := "eve@example.org"
		s.register(eve, password)
		hers := s.signedIn(eve, password).open("/sessions")
		handle := attribute(within(a.all("li")[0], "input")[0], "value")
		hers.post("/sessions/end", url.Values{"session": {handle}}).at("/sessions", "Your sessions") // somebody else's
		a.open("/").at("/", "Hello, Alice")

		b = s.signedIn(email, password)
		b.open("/sessions").press("Sign out everywhere").at("/", "Welcome")
		a.open("/settings").at("/login", "Sign in")
		b.open("/settings").at("/login", "Sign in")
		hers.open("/").at("/", "Hello, Alice")
		require.Equal(t, 1, s.count("flowhook_sessions"))
		require.Equal(t, 1, s.count("audit WHERE point = 'sign_out_everywhere/after'"))
	})
}

// TestNewDevice: only an account that knows a device already gets a mail about another.
func TestNewDevice(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		b.press("Sign out").open("/login").press("Sign in", "email", email, "password", password) // the same browser
		s.signedIn(email, password)
		s.mail(email, deviceSubject, 0) // one, for the second browser
		require.Equal(t, 2, s.count("devices"))

		const eve = "eve@example.org" // whose address nobody has confirmed
		s.browser().open("/register").press("Register", "name", "Alice", "email", eve, "password", password)
		s.signedIn(eve, password)
		s.signedIn(eve, password)
		require.Equal(t, 4, s.count("devices"))
		require.Len(t, s.log.lines("msg=hook", "name=new_device", "outcome=ok"), 5)
		require.Equal(t, 3, s.count("river_job"), "two to confirm, one about a device")
	})
}
