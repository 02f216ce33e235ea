package main

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestNewAddressTakesThePassword: who finds a browser signed in does not take the account over by its address.
func TestNewAddressTakesThePassword(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		for _, wrong := range []string{"", "wrong"} {
			b.open("/settings").press("Save profile", "name", "Eve", "email", "eve@example.org", "current", wrong).refused(http.StatusUnprocessableEntity, "not your current password")
			require.Equal(t, "/settings/profile", b.URL.Path)
			require.NotContains(t, b.Body, `value="wrong"`)
		}
		require.Equal(t, 2, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'wrong_password'"))
		require.Equal(t, 1, s.count("users WHERE name = 'Alice' AND email = $1 AND verified_at IS NOT NULL", email))
		require.Equal(t, 1, s.count("river_job"), "nobody was mailed to")
		b.open("/settings").press("Save profile", "name", "Alice L.").at("/settings", "Settings")
		require.Equal(t, 1, s.count("users WHERE name = 'Alice L.'"), "the name takes none")
		b.open("/settings").press("Save profile", "email", "new@example.org", "current", password).at("/settings", "Settings")
		require.Equal(t, 1, s.count("users WHERE email = 'new@example.org' AND verified_at IS NULL"))
	})
}

// TestNoPasswordNoNewAddress: who signs in by a provider has no password to give, and is told so.
func TestNoPasswordNoNewAddress(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser().open("/login/oidc").at("/", "Hello, Alice").open("/settings")
	require.Contains(t, text(b.doc), "Your email address is "+email+". It cannot be changed here: that takes your password, and your account has none.")
	for _, n := range b.all("input") {
		require.NotContains(t, []string{"email", "current"}, attribute(n, "name"))
	}
	b.press("Save profile", "name", "Alice L.").at("/settings", "Settings")
	require.Equal(t, 1, s.count("users WHERE name = 'Alice L.' AND verified_at IS NOT NULL AND email = $1", email))
	b.post("/settings/profile", url.Values{"name": {"Eve"}, "email": {"eve@example.org"}, "current": {""}}).refused(http.StatusUnprocessableEntity, "not your current password")
	require.Equal(t, 1, s.count("users WHERE name = 'Alice L.' AND email = $1", email))
}

// TestChangesAreTold: the owner of an account learns what was done to it, at the address that was theirs before. There is no
// mail for what was not done, nor to an address that may be somebody else's.
func TestChangesAreTold(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		b.open("/settings").press("Change password", "current", "wrong", "new", "another password").refused(http.StatusUnprocessableEntity, "not your current password")
		b.open("/settings").press("Save profile", "name", "Alice L.").at("/settings", "Settings")
		require.Equal(t, 1, s.count("river_job"), "nothing to tell")
		b.open("/settings").press("Change password", "current", password, "new", "another password").at("/settings", "Settings")
		told := s.mail(email, passwordSubject, 0)
		require.Contains(t, told.Text, "The password of your account was changed")
		require.Equal(t, []string{s.server.URL + "/login"}, told.Links)

		b.open("/settings").press("Save profile", "email", "new@example.org", "current", "another password").at("/settings", "Settings")
		told = s.mail(email, addressSubject, 0)
		require.Contains(t, told.Text, "was given another email address")
		require.NotContains(t, told.Text, "new@example.org")
		require.Equal(t, 4, s.count("river_job"), "with the two to confirm an address")
		b.open("/settings").press("Change password", "current", "another password", "new", password).at("/settings", "Settings")
		b.open("/settings").press("Save profile", "email", "newer@example.org", "current", password).at("/settings", "Settings")
		s.mail("newer@example.org", confirmSubject, 0)
		require.Equal(t, 5, s.count("river_job"), "nobody has confirmed new@example.org")

		b.open(s.mail("newer@example.org", confirmSubject, 0).Links[0]).press("Confirm my address").at("/verify/done", "Your address is confirmed")
		_, err := s.service.db.Exec("ALTER TABLE river_job RENAME TO gone")
		require.NoError(t, err)
		b.open("/settings").press("Change password", "current", password, "new", "another password").refused(http.StatusInternalServerError, "Something went wrong")
		b.open("/settings").press("Save profile", "email", "newest@example.org", "current", password).refused(http.StatusInternalServerError, "Something went wrong")
		_, err = s.service.db.Exec("ALTER TABLE gone RENAME TO river_job")
		require.NoError(t, err)
		s.browser().open("/login").press("Sign in", "email", "newer@example.org", "password", password).at("/", "Hello, Alice L.") // neither was done: it goes with its mail, or not at all
	})
}

// TestNoFirstPassword: who finds a browser signed in does not give the account of somebody else a password.
func TestNoFirstPassword(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, _ := newOIDCSite(t, database)
		b := s.browser().open("/login/oidc").at("/", "Hello, Alice").open("/settings")
		const none = "Your account has none. You sign in by the provider"
		require.Contains(t, text(b.doc), none)
		for _, n := range b.all("input") {
			require.NotEqual(t, "password", attribute(n, "type"))
		}
		for _, current := range []string{"", "x"} {
			b.post("/settings/password", url.Values{"current": {current}, "new": {password}}).refused(http.StatusUnprocessableEntity, none)
		}
		require.Equal(t, 1, s.count("users WHERE password_hash IS NULL"))
		require.Equal(t, 2, s.count("audit WHERE point = 'settings/failed/password' AND outcome = 'wrong_password'"))
		var id string
		require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
		changed, err := s.service.db.updatePassword(t.Context(), id, "another", "")
		require.NoError(t, err)
		require.False(t, changed)
	})
}

// TestChangedMeanwhile: what changes while a request waits for its turn counts. Neither does a password that is not good any
// more change the address, nor does a form that was to keep the address take it back without one.
func TestChangedMeanwhile(t *testing.T) {
	for what, c := range map[string]struct {
		query string
		form  url.Values
	}{
		"the password": {"UPDATE users SET password_hash = 'another'", url.Values{"name": {"Eve"}, "email": {"eve@example.org"}, "current": {password}}},
		"the address":  {"UPDATE users SET email = 'new@example.org', email_key = 'new@example.org'", url.Values{"name": {"Eve"}, "email": {email}}},
	} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t, testkit.PostgreSQL(t))
			s.register(email, password)
			b := s.signedIn(email, password)
			var id string
			require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
			done := make(chan *browser)
			require.NoError(t, s.service.store.Transaction(t.Context(), id, func(ctx context.Context) error {
				go func() { done <- b.post("/settings/profile", c.form) }()
				if err := s.someoneWaits(ctx); err != nil {
					return err
				}
				_, err := s.service.db.exec(ctx, c.query)
				return err
			}))
			(<-done).refused(http.StatusUnprocessableEntity, "changed elsewhere just now")
			require.Equal(t, 0, s.count("users WHERE name = 'Eve' OR email = 'eve@example.org'"))
			require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'changed_meanwhile'"))
		})
	}
}

// TestTooManyNewAddresses: an account cannot have the service write to as many strangers as it likes.
func TestTooManyNewAddresses(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		change := func(to string) *browser {
			return b.open("/settings").press("Save profile", "email", to, "current", password)
		}
		for _, to := range []string{"a@example.org", "A@example.org", "b@example.org", "c@example.org", "d@example.org"} {
			change(to).at("/settings", "Settings")
		}
		emails := s.count("river_job")
		for _, to := range []string{"e@example.org", "D@example.org"} {
			change(to).refused(http.StatusUnprocessableEntity, "changed your address too often")
		}
		require.Equal(t, emails, s.count("river_job"))
		require.Equal(t, 1, s.count("users WHERE email = 'd@example.org'"))
		require.Equal(t, 2, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'too_many_changes'"))
		b.open("/settings").press("Save profile", "name", "Alice L.").at("/settings", "Settings")

		s.ahead.Add(int64(changesEvery))
		change("e@example.org").at("/settings", "Settings")
		change("f@example.org").refused(http.StatusUnprocessableEntity, "changed your address too often")

		_, err := s.service.db.Exec("UPDATE users SET changes_until = changes_until + 31536000000000")
		require.NoError(t, err)
		change("f@example.org").at("/settings", "Settings") // a clock that was a year ahead locks nobody out
	})
}

// TestChangeThatFailsDoesNotCount: only an address that was changed counts.
func TestChangeThatFailsDoesNotCount(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		s.browser().open("/register").press("Register", "name", "Bob", "email", "bob@example.org", "password", password)
		for range changesAtOnce + 1 {
			b.open("/settings").press("Save profile", "email", "bob@example.org", "current", password).
				refused(http.StatusUnprocessableEntity, "This address cannot be used")
		}
		b.open("/settings").press("Save profile", "email", "new@example.org", "current", password).at("/settings", "Settings")
	})
}
