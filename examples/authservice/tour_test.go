package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	email    = "alice@example.org"
	password = "correct horse battery staple"
)

// TestTour uses the pages as a user does.
func TestTour(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		b := s.browser()
		b.open("/").at("/", "Welcome").follow("Register").at("/register", "Register")
		b.press("Register", "name", "Alice", "email", email, "password", password).
			at("/register/sent", "Check your email")
		require.NotContains(t, b.Header.Get("Set-Cookie"), "session")
		b.open("/settings").at("/login", "Sign in") // registering does not sign in

		link := s.mail(email, confirmSubject, 0).Links[0]
		s.browser().open(link).at("/verify", "Confirm your address") // as a mail scanner does
		require.Equal(t, 1, s.count("users WHERE verified_at IS NULL"))
		b.open("/login").press("Sign in", "email", "ALICE@Example.Org", "password", password).at("/", "Hello, Alice")
		require.Contains(t, b.Body, "not confirmed yet")
		b.open(link).press("Confirm my address").at("/verify/done", "Your address is confirmed")
		b.follow("Continue").at("/", "Hello, Alice")
		require.Contains(t, b.Body, "is confirmed")
		b.open(link).press("Confirm my address").refused(http.StatusGone, "no longer works")

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
		b.press("Save profile", "name", "Alice L.", "email", "new@Example.ORG", "current", password).
			at("/settings", "Settings")
		require.Contains(t, b.Body, "Your changes were saved.")
		require.Contains(t, b.Body, `value="new@example.org"`)
		require.Equal(t, 1, s.count("users WHERE verified_at IS NULL"))
		first := s.mail("new@example.org", confirmSubject, 0).Links[0]

		b.press("Send a new link").at("/settings/sent", "A link is on its way")
		require.Contains(t, b.Body, "We send at most one email per minute.")
		require.Equal(t, 3, s.count("river_job"), "at most one email per minute")
		s.ahead.Add(int64(2 * time.Minute))
		b.open("/settings").press("Save profile", "email", email, "current", password)
		s.mail(email, confirmSubject, 1)
		b.open(first).press("Confirm my address").refused(http.StatusGone, "your address has changed")
		require.Equal(t, 1, s.count("users WHERE verified_at IS NULL"))
		b.open("/settings").press("Save profile", "email", "new@example.org", "current", password)
		// the refusal did not use up the token
		b.open(first).press("Confirm my address").at("/verify/done", "Your address is confirmed")
		require.Equal(t, 0, s.count("users WHERE verified_at IS NULL"))
		b.open("/settings").press("Save profile", "name", "Alice")
		require.Equal(t, 0, s.count("users WHERE verified_at IS NULL"), "the address has not changed")

		s.register("bob@example.org", password)
		b.open("/settings").press("Save profile", "email", "BOB@example.org", "current", password).
			refused(http.StatusUnprocessableEntity, "This address cannot be used.")
		b.open("/settings").press("Save profile", "name", " ", "email", "nonsense").
			refused(http.StatusUnprocessableEntity, "Enter your name.")
		require.Contains(t, b.Body, "Enter an email address")
		b.open("/settings").press("Save profile", "name", "a\x00b").
			refused(http.StatusUnprocessableEntity, "Use only printable characters.")

		other := s.signedIn("new@example.org", password)
		b.open("/settings").press("Change password", "current", "wrong", "new", "another password").
			refused(http.StatusUnprocessableEntity, "not your current password")
		b.open("/settings").press("Change password", "current", password, "new", "short").
			refused(http.StatusUnprocessableEntity, "at least 8")
		other.open("/settings").at("/settings", "Settings")
		b.open("/settings").press("Change password", "current", password, "new", "another password").
			at("/settings", "Settings")
		other.open("/settings").at("/login", "Sign in") // signed out
		other.press("Sign in", "email", "new@example.org", "password", password).
			refused(http.StatusUnprocessableEntity, "Wrong email address or password.")
		other.press("Sign in", "email", "new@example.org", "password", "another password").at("/", "Hello, Alice")

		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/password' AND outcome = 'wrong_password'"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/after/password' AND outcome = 'ok'"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'address_taken'"))
	})
}
