package main

import (
	"net/http"
	"testing"

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
		b.open("/").at("/", "Welcome to Accounts").follow("Register").at("/register", "Register")
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
		b.open(link).refused(http.StatusGone, "already used")

		phone := s.signedIn(email, password)
		device := s.mail(email, deviceSubject, 0)
		require.Contains(t, device.Text, "Firefox on Linux")
		require.Equal(t, []string{s.server.URL + "/sessions"}, device.Links)
		phone.press("Sign out").at("/", "Welcome to Accounts")
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
		b.press("Save name", "name", "Alice L.").at("/settings", "Settings")
		require.Contains(t, b.Body, "Your name was saved.")
		b.press("Change email", "email", "new@Example.ORG", "current", password).
			at("/settings/pending", "Check your new inbox")
		b.open("/").at("/", "Hello, Alice L.")
		require.Contains(t, b.Body, email, "it has not changed yet")
		b.open(s.mail("new@example.org", newSubject, 0).Links[0]).press("Change my address").
			at("/verify/done", "Your address is confirmed")
		b.open("/settings").at("/settings", "Settings")
		require.Contains(t, text(b.doc), "Your email address is new@example.org.")
		require.Equal(t, 0, s.count("users WHERE verified_at IS NULL"))
		b.press("Save name", "name", "Alice").at("/settings", "Settings")
		require.Equal(t, 3, s.count("river_job"), "no email for a change of the name")

		b.open("/settings").press("Save name", "name", " ").
			refused(http.StatusUnprocessableEntity, "Enter your name.")
		b.open("/settings").press("Change email", "email", "nonsense", "current", password).
			refused(http.StatusUnprocessableEntity, "Enter an email address")
		b.open("/settings").press("Save name", "name", "a\x00b").
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
		other.press("Sign in", "email", "new@example.org", "password", "another password").at("/settings", "Settings")

		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/password' AND outcome = 'wrong_password'"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/after/password' AND outcome = 'ok'"))
	})
}
