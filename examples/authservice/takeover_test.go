package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// squat registers Alice's address for Mallory, who signs in with it.
func (s *site) squat() *browser {
	s.t.Helper()
	b := s.browser().open("/register").press("Register", "name", "Mallory", "email", email, "password", password)
	s.mail(email, confirmSubject, 0)
	return b.open("/login").press("Sign in", "email", email, "password", password).at("/", "Hello, Mallory")
}

// TestTakeover_Recovery checks that a squatter keeps nothing of an account that the owner of the
// address recovers: no password, no provider, no session.
func TestTakeover_Recovery(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, p := newOIDCSite(t, database)
		mallory := s.squat()
		p.is("666", "mallory@example.net", true)
		_, err := s.service.db.Exec("INSERT INTO oidc_identities (issuer, subject, user_id, created_at) "+
			"SELECT $1, '666', id, 0 FROM users", s.service.providers[0].id)
		require.NoError(t, err)
		s.browser().open("/login/oidc/acme").at("/", "Hello, Mallory")

		alice := s.browser().askRecovery(email).at("/recovery/sent", "Check your email")
		alice.open(s.mail(email, recoverySubject, 0).Links[0]).press("Set the password", "new", newPassword).
			at("/recovery/done", "Your password is changed")
		mallory.open("/settings").at("/login", "Sign in")
		mallory.press("Sign in", "email", email, "password", password).
			refused(http.StatusUnprocessableEntity, "Wrong email address or password.")
		s.browser().open("/login/oidc/acme").at("/", "Hello, Alice") // a new account
		require.Equal(t, 1, s.count("users WHERE email = 'mallory@example.net'"))
		require.Equal(t, 1, s.count("users WHERE email = $1 AND verified_at IS NOT NULL", email))
		require.Equal(t, 1, s.count("devices WHERE user_id = (SELECT id FROM users WHERE email = $1)", email))
		alice.open("/").at("/", "Hello, Mallory") // the name is for her to change
	})
}

// TestTakeover_OIDC is the same for an owner who comes with a provider.
func TestTakeover_OIDC(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, p := newOIDCSite(t, database)
		mallory := s.squat()
		p.is("1", email, false)
		s.browser().open("/login/oidc/acme").refused(http.StatusForbidden, "Your email address is not verified at")
		mallory.open("/").at("/", "Hello, Mallory")

		p.is("1", "Alice@example.org", true)
		s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		mallory.open("/settings").at("/login", "Sign in")
		mallory.press("Sign in", "email", email, "password", password).
			refused(http.StatusUnprocessableEntity, "Wrong email address or password.")
		require.Equal(t, 1, s.count("users"))
		require.Equal(t, 1, s.count("users WHERE email = 'Alice@example.org' AND verified_at IS NOT NULL AND "+
			"password_hash IS NULL"))
		require.Equal(t, 1, s.count("flowhook_sessions"))
		s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		require.Equal(t, 1, s.count("audit WHERE point = 'registration/after/oidc' AND user_id = (SELECT id FROM users)"))
	})
}

// TestTakeover_Confirmed checks that nobody takes over a confirmed account: a provider's user is
// refused, and recovery keeps what its owner has.
func TestTakeover_Confirmed(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, p := newOIDCSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		p.is("1", email, true)
		s.browser().open("/login/oidc/acme").refused(http.StatusForbidden, "already exists")
		b.open("/").at("/", "Hello, Alice")
		s.signedIn(email, password)
		require.Equal(t, 0, s.count("oidc_identities"))
		require.ErrorContains(t, s.service.takeOver(t.Context(), user{Verified: true}), "cannot be taken over")
	})
}
