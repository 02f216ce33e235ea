package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPasswordChange_Twice checks that a form that is sent twice changes the password once, and does
// not end in an error. A wrong password is still an error.
func TestPasswordChange_Twice(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		form := url.Values{"current": {password}, "new": {newPassword}}
		for range 2 {
			b.post("/settings/password", form).at("/settings", "Settings").refused(http.StatusOK, "Your new password was saved.")
		}
		s.mail(email, passwordSubject, 0)
		require.Equal(t, 2, s.count("river_job"), "one notification")
		b.post("/settings/password", url.Values{"current": {password}, "new": {"yet another password"}}).
			refused(wrong, "not your current password")
		s.ahead.Add(int64(sentAgain + time.Second)) // then the form would try two passwords at once
		b.post("/settings/password", url.Values{"current": {"wrong"}, "new": {newPassword}}).
			refused(wrong, "not your current password")
		s.signedIn(email, newPassword)
	})
}

// TestDelete_Twice checks what a user sees who has sent the form twice.
func TestDelete_Twice(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	again := s.browser()
	again.client.Jar = &frozenJar{b.client.Jar.Cookies(b.URL)} // the answer to the first click did not arrive
	b.post("/settings/delete", url.Values{"current": {password}}).at("/settings/deleted", "Your account is deleted")
	again.post("/settings/delete", url.Values{"current": {password}}).at("/login", "Sign in").
		refused(http.StatusOK, "If you have just deleted your account, it is deleted. Otherwise, nothing was deleted.")
	require.Equal(t, 0, s.count("users"))
}

// A frozenJar is a cookie jar that never changes.
type frozenJar struct{ cookies []*http.Cookie }

func (j *frozenJar) Cookies(*url.URL) []*http.Cookie     { return j.cookies }
func (j *frozenJar) SetCookies(*url.URL, []*http.Cookie) {}

// TestLinks_Copied checks that a link works with the punctuation around it, and that a page says what
// may be wrong with a part of a link.
func TestLinks_Copied(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", password)
	link := s.mail(email, confirmSubject, 0).Links[0]
	b := s.browser()
	b.open(link[:len(link)-1]).refused(http.StatusGone, "was not copied completely")
	b.open(link[:strings.Index(link, "=")+1]).refused(http.StatusOK, "copy all of it")
	b.open(link+").").press("Confirm my address").at("/verify/done", "Your address is confirmed")

	b.open("/recovery").press("Send the email", "email", email).at("/recovery/sent", "Check your email")
	link = s.mail(email, recoverySubject, 0).Links[0]
	b.open(link[:len(link)-1]).refused(http.StatusGone, "was not copied completely").follow("Back to sign in").
		at("/login", "Sign in")
	b.open(link[:strings.Index(link, "=")+1]).refused(http.StatusOK, "copy all of it")
	b.open(link+"%3E").press("Set the password", "new", newPassword).at("/recovery/done", "Your password is changed")
}

// TestLinks_AddressChanged checks that a link to an address that has changed since says so before its
// user presses a button or types a password.
func TestLinks_AddressChanged(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", password)
		confirm := s.mail(email, confirmSubject, 0).Links[0]
		s.browser().open("/recovery").press("Send the email", "email", email)
		recovery := s.mail(email, recoverySubject, 0).Links[0]
		b := s.signedIn(email, password)
		other := s.change(b, "other@example.org")
		b.open(s.change(b, newEmail)).press("Change my address").at("/verify/done", "Your address is confirmed")
		for _, link := range []string{confirm, recovery, other} {
			b.open(link).refused(http.StatusGone, "The address of the account has changed since.")
			require.NotContains(t, b.Body, `name="token"`)
		}
		require.Equal(t, 1, s.count("users WHERE email = $1", newEmail))
	})
}

// TestSignIn_NoCookies checks that a browser without cookies learns why it is not signed in, and that
// nobody else does.
func TestSignIn_NoCookies(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	const why = "Allow cookies for this site, and sign in again."
	b := s.browser()
	b.client.Jar = nil
	require.NotContains(t, b.open("/").Body+b.open("/login").Body, why)
	b.press("Sign in", "email", email, "password", password).at("/", "Welcome to Accounts").refused(http.StatusOK, why)
	require.NotContains(t, s.signedIn(email, password).Body, why)
}
