package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const newEmail = "liddell@example.org"

// change asks for another address and returns the link that makes it Alice's.
func (s *site) change(b *browser, to string) (link string) {
	s.t.Helper()
	b.open("/settings").press("Change email", "email", to, "current", password).
		at("/settings/pending", "Check your new inbox")
	return s.mail(to, newSubject, 0).Links[0]
}

func (s *site) wrongPassword(email string) {
	s.t.Helper()
	s.browser().open("/login").press("Sign in", "email", email, "password", password).
		refused(http.StatusUnprocessableEntity, "Wrong email address or password.")
}

// TestAddressChange checks that the old address signs in until the link to the new one is opened,
// and only the new one afterwards. A link to another address works no longer then.
func TestAddressChange(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		link, second := s.change(b, newEmail), s.change(b, "another@example.org")
		s.wrongPassword(newEmail)
		s.signedIn(email, password)

		tab := s.browser().open(second)
		b.open(link).press("Change my address").at("/verify/done", "Your address is confirmed")
		s.wrongPassword(email)
		s.signedIn(newEmail, password)
		b.open(link).refused(http.StatusGone, "This link works only once.")
		b.open(second).refused(http.StatusGone, "no longer works")
		tab.press("Change my address").refused(http.StatusGone, "no longer works")
		require.Equal(t, 1, s.count("users WHERE email = $1 AND verified_at IS NOT NULL", newEmail))

		// a second change, from the new address
		b.open(s.change(b, "third@example.org")).press("Change my address").at("/verify/done", "Your address is confirmed")
		s.signedIn("third@example.org", password)
	})
}

// TestAddressChange_Taken checks that an address of another account shows only to its owner.
func TestAddressChange_Taken(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		s.register(newEmail, password)
		b := s.signedIn(email, password)
		b.open(s.change(b, newEmail)).press("Change my address").
			refused(http.StatusGone, "Its address belongs to another account.")
		s.signedIn(email, password)
		s.signedIn(newEmail, password)
	})
}

// TestAddressChange_SignedOut checks that a change lapses with the session that asked for it.
func TestAddressChange_SignedOut(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b, other := s.signedIn(email, password), s.signedIn(email, password)
		link := s.change(b, newEmail)
		other.open("/sessions").press("Sign out everywhere").at("/", "Welcome to Accounts")
		other.open(link).refused(http.StatusGone, "no longer works")
		s.signedIn(email, password)
		s.wrongPassword(newEmail)
	})
}

// TestAddressChange_OldSignIn checks that the sign-in is shown again if it was too long ago, and
// that the settings are shown after it.
func TestAddressChange_OldSignIn(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		s.ahead.Add(int64(time.Hour + time.Minute))
		emails := s.count("river_job")
		b.open("/settings").press("Change email", "email", newEmail, "current", password).at("/login", "Sign in again").
			refused(http.StatusOK, "For your security, sign in again to continue.")
		require.Equal(t, email, b.typed("email"))
		require.NotContains(t, text(b.doc), "Register")
		require.Equal(t, emails, s.count("river_job"))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/failed/profile' AND outcome = 'reauthenticate'"))
		b.press("Sign in", "email", email, "password", "wrong").at("/login", "Sign in again").
			refused(wrong, "Wrong email address or password.")
		b.press("Sign in", "email", email, "password", password).at("/settings", "Settings")
		b.open(s.change(b, newEmail)).press("Change my address").at("/verify/done", "Your address is confirmed")
	})
}

// TestAddressChange_Undo checks that the owner of the old address takes a change back, before or
// after the link to the new one is opened, and even if somebody has registered the old one since.
func TestAddressChange_Undo(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		for _, c := range []struct {
			name               string
			redeemed, squatted bool
		}{{"before", false, false}, {"after", true, false}, {"squatted", true, true}} {
			email := c.name + "@example.org"
			s.register(email, password)
			mallory := s.signedIn(email, password)
			link := s.change(mallory, c.name+"@elsewhere.example")
			undo := s.mail(email, changeSubject, 0).Links[0]
			if c.redeemed {
				mallory.open(link).press("Change my address").at("/verify/done", "Your address is confirmed")
			}
			if c.squatted {
				s.browser().open("/register").press("Register", "name", "Eve", "email", email, "password", "the squatter's")
			}

			alice := s.browser().open(undo).at("/verify", "Keep your old address").
				refused(http.StatusOK, "Your password stops working").press("Cancel the change").
				at("/recovery", "Reset your password")
			alice.refused(http.StatusOK, "This is your address again")
			mallory.open("/settings").at("/login", "Sign in")
			mallory.open(link).refused(http.StatusGone, "This link")
			s.wrongPassword(email)
			s.wrongPassword(c.name + "@elsewhere.example")
			alice.press("Send the email", "email", email).at("/recovery/sent", "Check your email")
			alice.open(s.mail(email, recoverySubject, 0).Links[0]).press("Set the password", "new", newPassword).
				at("/recovery/done", "Your password is changed").follow("Continue").at("/", "Hello, Alice")
			alice.open(undo).refused(http.StatusGone, "already used")
			require.Equal(t, 1, s.count("users WHERE email LIKE $1", c.name+"@%"))
		}
	})
}

// TestAddressChange_UndoTaken checks that an undo does not take an address from a confirmed
// account.
func TestAddressChange_UndoTaken(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	b.open(s.change(b, newEmail)).press("Change my address").at("/verify/done", "Your address is confirmed")
	undo := s.mail(email, changeSubject, 0).Links[0]
	s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", newPassword)
	_, err := s.service.db.Exec("UPDATE users SET verified_at = 1 WHERE email = $1", email)
	require.NoError(t, err)
	b.open(undo).press("Cancel the change").refused(http.StatusGone, "Its address belongs to another account.")
	b.open("/settings").at("/settings", "Settings") // nothing was changed
	s.signedIn(newEmail, password)
	s.signedIn(email, newPassword)
}

// TestAddressChange_UndoDisconnects checks that an owner who undoes a change of the address also ends
// the access of somebody who has connected a provider.
func TestAddressChange_UndoDisconnects(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, acme, _ := newProvidersSite(t, database)
		s.register(email, password)
		mallory := s.signedIn(email, password)
		acme.is("666", "mallory@example.net", true)
		mallory.open(mallory.connecting().String()).at("/settings", "Settings")
		s.change(mallory, newEmail)
		s.browser().open(s.mail(email, changeSubject, 0).Links[0]).
			refused(http.StatusOK, "and all sign-in providers are disconnected").press("Cancel the change").
			at("/recovery", "Reset your password").refused(http.StatusOK, "All sign-in providers were disconnected.")
		require.Equal(t, 0, s.count("oidc_identities"))
		s.browser().open("/login/oidc/acme").at("/", "Hello, Alice").refused(http.StatusOK, "mallory@example.net")
	})
}
