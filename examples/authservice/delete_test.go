package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const deletedSubject = "Your account was deleted"

// TestDelete checks that deleting an account needs the password, ends all its sessions, notifies its
// owner, and frees the address.
func TestDelete(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		s.register("bob@example.org", password)
		b, other, bob := s.signedIn(email, password), s.signedIn(email, password), s.signedIn("bob@example.org", password)
		pending := s.change(b, newEmail)
		for _, no := range []string{"", "wrong"} {
			b.open("/settings").press("Delete account", "current", no).refused(wrong, "not your current password")
		}
		require.Equal(t, 1, s.count("audit WHERE point = 'delete_account/failed' AND outcome = 'wrong_password'"))
		b.open("/settings").press("Delete account", "current", password).at("/settings/deleted", "Your account is deleted")
		require.False(t, b.hasHeader())
		require.NotContains(t, b.open("/login").Body, "You were signed out")
		other.open("/settings").at("/login", "Sign in")
		bob.open("/settings").at("/settings", "Settings")
		s.wrongPassword(email)
		require.Contains(t, s.mail(email, deletedSubject, 0).Text, "Your account was deleted at")
		b.open(pending).refused(http.StatusGone, "no longer works")
		require.Equal(t, 1, s.count("users"))
		require.Equal(t, 1, s.count("flowhook_sessions"))
		require.Equal(t, 1, s.count("devices"))
		require.Equal(t, 1, s.count("audit WHERE point = 'delete_account/after' AND user_id IS NOT NULL"))
		s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", newPassword)
		s.signedIn(email, newPassword)
	})
}

// TestDelete_RateLimit checks that guessing the password here is limited, too.
func TestDelete_RateLimit(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	for range 5 {
		b.open("/settings").press("Delete account", "current", "wrong").refused(wrong, "not your current password")
	}
	b.open("/settings").press("Delete account", "current", password).refused(tooMany, "There were too many attempts.")
	require.Equal(t, 1, s.count("users"))
	require.Equal(t, 1, s.count("audit WHERE point = 'delete_account/before' AND outcome = 'too_many_by_pair' AND "+
		"user_id IS NOT NULL"))
}

// TestDelete_NoPassword checks that a user without a password must have signed in shortly before.
func TestDelete_NoPassword(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser().open("/login/oidc").at("/", "Hello, Alice")
	s.ahead.Add(int64(deleteWithin + time.Second))
	b.open("/settings").press("Delete account", "confirm", "bob@example.org").
		refused(wrong, "This is not your email address.")
	b.press("Delete account", "confirm", email).at("/login", "Sign in").refused(http.StatusOK, "please sign in again")
	require.Equal(t, 1, s.count("users"))
	b.open("/login/oidc?return_to=/settings").at("/settings", "Settings").
		press("Delete account", "confirm", " Alice@example.org").
		at("/settings/deleted", "Your account is deleted")
	require.Equal(t, 0, s.count("users")+s.count("oidc_identities")+s.count("flowhook_sessions"))
}
