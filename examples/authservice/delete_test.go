package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
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

// TestDelete_NoPassword checks that a user without a password must have been authenticated by the
// provider again. A sign-in alone is not enough, because the provider may not have asked.
func TestDelete_NoPassword(t *testing.T) {
	s, p := newOIDCSite(t, "sqlite:"+t.TempDir()+"/db")
	remove := func(b *browser) *browser { return b.post("/settings/delete", url.Values{"confirm": {email}}) }
	const stale = "because you signed in too long ago"
	link := "Continue with " + strings.TrimPrefix(p.URL, "http://")
	b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
	require.NotContains(t, b.open("/settings").Body, "Delete account</button>")
	remove(b).refused(http.StatusOK, stale)

	p.mu.Lock()
	p.claims["auth_time"] = time.Now().Unix()
	p.mu.Unlock()
	b.open("/settings").follow(link).at("/settings", "Settings").press("Delete account", "confirm", "bob@example.org").
		refused(wrong, "Enter alice@example.org.")
	require.Contains(t, b.Body, "Set password</button>", "the sign-in is still new")
	s.ahead.Add(int64(freshFor))
	remove(b).refused(http.StatusOK, stale)
	s.ahead.Add(-int64(freshFor))
	require.Equal(t, 1, s.count("users"))
	b.open("/settings").press("Delete account", "confirm", " Alice@example.org").at("/settings/deleted", "Your account is deleted")
	require.Equal(t, 0, s.count("users")+s.count("oidc_identities")+s.count("flowhook_sessions"))
}

// TestOIDC_DeletedMeanwhile checks that a sign-in with the provider fails if the account is deleted
// while it waits for its transaction.
func TestOIDC_DeletedMeanwhile(t *testing.T) {
	s, _ := newOIDCSite(t, newPostgreSQL(t))
	s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
	var id string
	require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
	done := make(chan *browser)
	require.NoError(t, s.service.store.Transaction(t.Context(), id, func(ctx context.Context) error {
		go func() { done <- s.browser().open("/login/oidc/acme") }()
		if err := s.someoneWaits(ctx); err != nil {
			return err
		}
		_, err := s.service.db.exec(ctx, "DELETE FROM users")
		return err
	}))
	(<-done).refused(http.StatusForbidden, "This sign-in was not started in this browser, or it took too long.")
	require.Equal(t, 1, s.count("flowhook_sessions"), "no session was issued")
}
