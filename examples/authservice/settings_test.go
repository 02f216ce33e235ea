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

// TestAddressChange_NeedsPassword checks that a signed-in browser alone is not enough to change the
// address.
func TestAddressChange_NeedsPassword(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		for _, wrong := range []string{"", "wrong"} {
			b.open("/settings").press("Change email", "email", "eve@example.org", "current", wrong).
				refused(http.StatusUnprocessableEntity, "not your current password")
			require.Equal(t, "/settings/email", b.URL.Path)
			require.NotContains(t, b.Body, `value="wrong"`)
		}
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'wrong_password'"), "an empty one is no attempt")
		require.Equal(t, 1, s.count("users WHERE name = 'Alice' AND email = $1 AND verified_at IS NOT NULL", email))
		require.Equal(t, 1, s.count("river_job"), "no email was sent")
		b.open("/settings").press("Save name", "name", "Alice L.").at("/settings", "Settings")
		require.Equal(t, 1, s.count("users WHERE name = 'Alice L.'"), "the name needs no password")
		b.open("/settings").press("Change email", "email", "new@example.org", "current", password).
			at("/settings/pending", "Check your new inbox")
		require.Equal(t, 1, s.count("users WHERE email = $1 AND verified_at IS NOT NULL", email))
	})
}

// TestAddressChange_NoPassword checks that a user without a password cannot change the address.
func TestAddressChange_NoPassword(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice").open("/settings")
	require.Contains(t, text(b.doc), "Your email address is "+email+". To change it, set a password first.")
	for _, n := range b.all("input") {
		require.NotContains(t, []string{"email", "current"}, attribute(n, "name"))
	}
	b.press("Save name", "name", "Alice L.").at("/settings", "Settings")
	require.Equal(t, 1, s.count("users WHERE name = 'Alice L.' AND verified_at IS NOT NULL AND email = $1", email))
	for _, current := range []string{"", "x"} {
		b.post("/settings/email", url.Values{"email": {"eve@example.org"}, "current": {current}}).
			refused(http.StatusUnprocessableEntity, "To change it, set a password first.")
	}
	require.Equal(t, 1, s.count("users WHERE name = 'Alice L.' AND email = $1", email))
}

// TestSettings_Notifications checks that the old address is notified of changes. There is no email
// for a change that failed, and none to an unconfirmed address.
func TestSettings_Notifications(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		b.open("/settings").press("Change password", "current", "wrong", "new", "another password").
			refused(http.StatusUnprocessableEntity, "not your current password")
		b.open("/settings").press("Save name", "name", "Alice L.").at("/settings", "Settings")
		require.Equal(t, 1, s.count("river_job"), "no notification")
		b.open("/settings").press("Change password", "current", password, "new", "another password").
			at("/settings", "Settings")
		notice := s.mail(email, passwordSubject, 0)
		require.Contains(t, notice.Text, "The password of your account was changed")
		require.Equal(t, []string{s.server.URL + "/recovery"}, notice.Links)

		b.open("/settings").press("Change email", "email", "new@example.org", "current", "another password").
			at("/settings/pending", "Check your new inbox")
		notice = s.mail(email, changeSubject, 0)
		require.NotContains(t, notice.Text, "new@example.org")
		require.Equal(t, 4, s.count("river_job"), "including the two that confirm an address")

		const eve = "eve@example.org" // with an unconfirmed address, which may be someone else's
		s.browser().open("/register").press("Register", "name", "Alice", "email", eve, "password", password)
		hers := s.signedIn(eve, password)
		hers.open("/settings").press("Change password", "current", password, "new", "another password").
			at("/settings", "Settings")
		hers.open("/settings").press("Change email", "email", "eve@elsewhere.example", "current", "another password").
			at("/settings/pending", "Check your new inbox")
		s.mail("eve@elsewhere.example", newSubject, 0)
		require.Equal(t, 6, s.count("river_job"), "no notice to the unconfirmed address")

		_, err := s.service.db.Exec("ALTER TABLE river_job RENAME TO gone")
		require.NoError(t, err)
		b.open("/settings").press("Change password", "current", "another password", "new", password).
			refused(http.StatusInternalServerError, "Something went wrong")
		b.open("/settings").press("Change email", "email", "newest@example.org", "current", "another password").
			refused(http.StatusInternalServerError, "Something went wrong")
		_, err = s.service.db.Exec("ALTER TABLE gone RENAME TO river_job")
		require.NoError(t, err)
		// the changes were rolled back with their emails
		s.browser().open("/login").press("Sign in", "email", email, "password", "another password").
			at("/", "Hello, Alice L.")
	})
}

// TestPasswordChange_NoPassword checks that a user without a password cannot set one.
func TestPasswordChange_NoPassword(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, p := newOIDCSite(t, database)
		b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice").open("/settings")
		provider := strings.TrimPrefix(p.URL, "http://")
		none := "You sign in with " + provider + ". To set a password, sign in with " + provider + " again or get a link by email."
		require.Contains(t, text(b.doc), none)
		for _, n := range b.all("input") {
			require.NotEqual(t, "password", attribute(n, "type"))
		}
		for _, current := range []string{"", "x"} {
			b.post("/settings/password", url.Values{"current": {current}, "new": {password}}).
				refused(http.StatusUnprocessableEntity, none)
		}
		require.Equal(t, 1, s.count("users WHERE password_hash IS NULL"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/password' AND outcome = 'wrong_password'"),
			"a form without a password is no attempt")
	})
}

// TestFirstPassword checks that a user without a password sets one after the provider has asked them
// to sign in again, and not otherwise.
func TestFirstPassword(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, p := newOIDCSite(t, database)
		authenticated := func(ago time.Duration) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.claims["auth_time"] = time.Now().Add(-ago).Unix()
		}
		first := func(b *browser) *browser { return b.post("/settings/password", url.Values{"new": {newPassword}}) }
		again := "Continue with " + strings.TrimPrefix(p.URL, "http://")
		b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice").open("/settings").
			refused(200, "To set a password, sign in with ")
		first(b).refused(200, "because you signed in too long ago")

		b.open("/settings").follow(again).refused(http.StatusForbidden, "You were not asked to sign in again at") // no auth_time
		authenticated(freshSlack + time.Minute)
		b.open("/settings").follow(again).refused(http.StatusForbidden, "You were not asked to sign in again at")
		first(b).refused(200, "because you signed in too long ago")
		authenticated(0)
		stolen := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		first(stolen).refused(200, "because you signed in too long ago")
		b.open("/settings").follow(again).at("/settings", "Settings")
		require.Equal(t, []string{"login", "0"}, []string{p.asked.Get("prompt"), p.asked.Get("max_age")})
		first(stolen).refused(200, "because you signed in too long ago")
		require.Contains(t, b.Body, "Delete account</button>")
		b.press("Set password", "new", "password").refused(wrong, "too common")
		require.Contains(t, b.Body, "Delete account</button>", "the sign-in is still new")
		require.NotContains(t, b.open("/settings?stale").Body, "you signed in too long ago")
		require.Equal(t, 0, s.count("users WHERE password_hash IS NOT NULL"))

		s.ahead.Add(int64(freshFor))
		first(b).refused(200, "because you signed in too long ago")
		s.ahead.Add(-int64(freshFor))
		b.open("/settings").press("Set password", "new", newPassword).at("/settings", "Settings").refused(200, "Your new password was saved.")
		s.mail(email, passwordSubject, 0)
		stolen.open("/settings").at("/login", "Sign in")
		s.signedIn(email, newPassword)
		s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		require.Equal(t, 1, s.count("users"))
		first(b).refused(wrong, "not your current password") // it has one now
	})
}

// TestProfileChange_ChangedMeanwhile checks that changes made while a request waits for its
// transaction count. An old password does not change the address, and a change of the name does not
// revert the address.
func TestProfileChange_ChangedMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		query, path string
		form        url.Values
	}{
		"password": {"UPDATE users SET password_hash = 'another'", "/settings/email",
			url.Values{"email": {"eve@example.org"}, "current": {password}}},
		"address": {"UPDATE users SET email = 'new@example.org', email_key = 'new@example.org'", "/settings/profile",
			url.Values{"name": {"Eve"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, newPostgreSQL(t))
			s.register(email, password)
			b := s.signedIn(email, password)
			var id string
			require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
			done := make(chan *browser)
			require.NoError(t, s.service.store.Transaction(t.Context(), id, func(ctx context.Context) error {
				go func() { done <- b.post(c.path, c.form) }()
				if err := s.someoneWaits(ctx); err != nil {
					return err
				}
				_, err := s.service.db.exec(ctx, c.query)
				return err
			}))
			(<-done).refused(http.StatusUnprocessableEntity, "changed in another session")
			require.Equal(t, 0, s.count("users WHERE name = 'Eve' OR email = 'eve@example.org'"))
			require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = "+
				"'changed_meanwhile'"))
		})
	}
}

// TestAddressChange_TooMany checks that an account cannot make the service send email to any number
// of strangers.
func TestAddressChange_TooMany(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		change := func(to string) *browser {
			return b.open("/settings").press("Change email", "email", to, "current", password)
		}
		for _, to := range []string{"a@example.org", "A@example.org", "b@example.org", "c@example.org",
			"d@example.org"} {
			change(to).at("/settings/pending", "Check your new inbox")
		}
		emails := s.count("river_job")
		for _, to := range []string{"e@example.org", "d@example.org"} {
			change(to).refused(http.StatusUnprocessableEntity, "changed your email address too often")
		}
		require.Equal(t, emails, s.count("river_job"))
		require.Equal(t, 1, s.count("users WHERE email = $1", email))
		require.Equal(t, 2, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'too_many_changes'"))
		b.open("/settings").press("Save name", "name", "Alice L.").at("/settings", "Settings")

		s.ahead.Add(int64(changesEvery))
		change("e@example.org").at("/login", "Sign in again") // the sign-in is too old
		b.press("Sign in", "email", email, "password", password).at("/settings", "Settings")
		change("e@example.org").at("/settings/pending", "Check your new inbox")
		change("f@example.org").refused(http.StatusUnprocessableEntity, "changed your email address too often")

		_, err := s.service.db.Exec("UPDATE users SET changes_until = changes_until + 31536000000000")
		require.NoError(t, err)
		// a clock that was a year ahead does not lock users out
		change("f@example.org").at("/settings/pending", "Check your new inbox")
	})
}

// TestAddressChange_FailedDoesNotCount checks that only successful changes count.
func TestAddressChange_FailedDoesNotCount(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database, "AUTH_CONFIG", withoutLimits(t))
		s.register(email, password)
		b := s.signedIn(email, password)
		_, err := s.service.db.Exec("ALTER TABLE river_job RENAME TO gone")
		require.NoError(t, err)
		for range changesAtOnce + 1 {
			b.open("/settings").press("Change email", "email", "bob@example.org", "current", password).
				refused(http.StatusInternalServerError, "Something went wrong")
		}
		_, err = s.service.db.Exec("ALTER TABLE gone RENAME TO river_job")
		require.NoError(t, err)
		b.open("/settings").press("Change email", "email", "new@example.org", "current", password).
			at("/settings/pending", "Check your new inbox")
	})
}

// TestSettings_SavedOnce checks that the page says once what was saved.
func TestSettings_SavedOnce(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	const saved = "Your name was saved."
	b.open("/settings").press("Save name", "name", "Alice L.").at("/settings", "Settings").refused(http.StatusOK, saved)
	require.NotContains(t, b.open(b.URL.String()).Body, saved)
	b.press("Change password", "current", password, "new", newPassword).at("/settings", "Settings").
		refused(http.StatusOK, "Your new password was saved. Other browsers were signed out.")
	require.NotContains(t, b.open("/settings").Body, "was saved")
}

// TestAddressChange_Waiting checks that the settings name the new address until it is confirmed, to no
// other user of the browser.
func TestAddressChange_Waiting(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	s.register("eve@example.org", password)
	b, other := s.signedIn(email, password), s.signedIn("eve@example.org", password)
	const waiting = "Waiting for " + newEmail + " to be confirmed."
	link := s.change(b, newEmail)
	b.open("/settings").refused(http.StatusOK, waiting)
	b.open("/settings/pending").refused(http.StatusOK, "We sent a link to "+newEmail)
	b.open("/settings").press("Save name", "name", "Alice L.").at("/settings", "Settings").
		refused(http.StatusOK, "Your name was saved.")
	b.open("/settings").refused(http.StatusOK, waiting)

	other.setCookie(noticeCookie, b.cookie(noticeCookie))
	require.NotContains(t, other.open("/settings").Body, newEmail)
	require.NotContains(t, other.open("/settings/pending").Body, newEmail)

	b.open(link).press("Change my address")
	require.NotContains(t, text(b.open("/settings").doc), waiting)
}

// TestHome_Unconfirmed checks that the home page says how to confirm the address, with a link and with
// a code, and sends a new email.
func TestHome_Unconfirmed(t *testing.T) {
	for what, environment := range map[string][]string{"link": nil, "code": {"AUTH_CONFIG", withCodes(t)}} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t, "sqlite:"+t.TempDir()+"/db", environment...)
			s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", password)
			b := s.signedIn(email, password).open("/")
			require.Equal(t, what == "link", strings.Contains(text(b.doc), "Open the link in the email"))
			s.ahead.Add(int64(time.Minute))
			b.press("Send a new "+what).at("/settings/sent", "Check your email")
			require.Equal(t, 2, s.count("river_job"))
			if what == "code" {
				b.open("/").follow("Enter the code").at("/verify", "Confirm your address")
			}
		})
	}
}
