package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	keptNotice = "We kept what you typed. Nothing was saved yet."
	notYet     = "You were signed out. Sign in to continue; we kept what you entered."
	notSaved   = "What you entered was not saved."
)

// noneKept checks that the page of the settings shows nothing that was kept, and that the browser
// keeps nothing.
func (b *browser) noneKept() {
	b.t.Helper()
	b.at("/settings", "Settings")
	require.NotContains(b.t, b.Body, keptNotice)
	require.Equal(b.t, "Alice", b.typed("name"))
	require.Empty(b.t, b.typed("email"))
	require.Empty(b.t, b.cookie(keptCookie))
}

// endSessions ends all sessions of the user of the tests, elsewhere.
func (s *site) endSessions() {
	s.t.Helper()
	s.signedIn(email, password).open("/sessions").press("Sign out everywhere").at("/", "Welcome to Accounts")
}

// TestKept checks that a user finds what they typed when the session has ended elsewhere, after
// they have signed in again, and that it is shown once.
func TestKept(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password).open("/settings")
	s.endSessions()
	b.press("Save name", "name", `Alice "L."`).at("/login", "Sign in").refused(http.StatusOK, notYet)
	b.press("Sign in", "email", email, "password", "wrong").refused(wrong, "Wrong email address or password.")
	b.press("Sign in", "email", email, "password", password).at("/settings", "Settings").
		refused(http.StatusOK, keptNotice)
	require.Equal(t, `Alice "L."`, b.typed("name"))
	require.Empty(t, b.typed("email"))
	require.Equal(t, 1, s.count("users WHERE name = 'Alice'"))
	page := *b
	b.open("/settings").noneKept()
	page.press("Save name").at("/settings", "Settings").refused(http.StatusOK, "Your name was saved.")
	require.Equal(t, 1, s.count(`users WHERE name = 'Alice "L."'`))
}

// TestKept_Expired checks the same for a session that has expired, and that no password is kept.
func TestKept_Expired(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password).open("/settings")
	s.ahead.Add(int64(24 * time.Hour))
	b.press("Change email", "email", "new@example.org", "current", password).at("/login", "Sign in").
		refused(http.StatusOK, notYet)
	var k kept
	require.NoError(t, s.service.kept.Decode(keptCookie, b.cookie(keptCookie), &k))
	require.Equal(t, "new@example.org", k.Value)
	require.NotContains(t, b.cookie(keptCookie), "new")
	b.press("Sign in", "email", email, "password", password).at("/settings", "Settings").
		refused(http.StatusOK, keptNotice)
	require.Equal(t, "new@example.org", b.typed("email"))
	require.Equal(t, "Alice", b.typed("name"))
	b.press("Change email", "current", password).at("/settings/pending", "Check your new inbox")
}

// TestKept_OldSignIn checks the same for a user who must sign in again to change the address.
func TestKept_OldSignIn(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password).open("/settings")
	s.ahead.Add(int64(time.Hour))
	b.press("Change email", "email", "new@example.org", "current", password).at("/login", "Sign in again").
		press("Sign in", "email", email, "password", password).at("/settings", "Settings").
		refused(http.StatusOK, keptNotice)
	require.Equal(t, "new@example.org", b.typed("email"))
}

// TestKept_Provider checks the same for a user who signs in with a provider.
func TestKept_Provider(t *testing.T) {
	s, p := newOIDCSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser().open("/login/oidc/acme").at("/", "Hello, Alice").open("/settings")
	s.ahead.Add(int64(24 * time.Hour))
	b.press("Save name", "name", "Alice L.").at("/login", "Sign in").refused(http.StatusOK, notYet)
	b.follow("Continue with "+strings.TrimPrefix(p.URL, "http://")).at("/settings", "Settings").
		refused(http.StatusOK, keptNotice)
	require.Equal(t, "Alice L.", b.typed("name"))
}

// TestKept_OtherUser checks that another user who signs in on the browser sees nothing, and that
// then nothing is left.
func TestKept_OtherUser(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	s.register("eve@example.org", password)
	b := s.signedIn(email, password).open("/settings")
	s.endSessions()
	b.press("Save name", "name", "Alice L.").at("/login", "Sign in")
	require.NotEmpty(t, b.cookie(keptCookie))
	b.press("Sign in", "email", "eve@example.org", "password", password).noneKept()
	b.press("Sign out").open("/login").press("Sign in", "email", email, "password", password).at("/", "Hello, Alice")
	b.open("/settings").noneKept()
}

// TestKept_TooLate checks that it is kept for a short time only.
func TestKept_TooLate(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password).open("/settings")
	s.endSessions()
	b.press("Save name", "name", "Alice L.").at("/login", "Sign in")
	s.ahead.Add(int64(keptLifetime))
	b.press("Sign in", "email", email, "password", password).noneKept()
}

// TestKept_Forged checks that neither a changed cookie is shown nor anything of an account that is
// unknown or another.
func TestKept_Forged(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	s.register("eve@example.org", password)
	mine := s.signedIn(email, password).open("/settings").typed(accountField)
	hers := s.signedIn("eve@example.org", password).open("/settings").typed(accountField)
	save := func(name, owner string) *browser {
		return s.browser().post("/settings/profile", url.Values{"name": {name}, accountField: {owner}}).
			at("/login", "Sign in")
	}
	for _, owner := range []string{"", strings.Repeat("x", 5000)} {
		b := save("Forged", owner).refused(http.StatusOK, notSaved)
		require.Empty(t, b.cookie(keptCookie))
	}
	for _, owner := range []string{"x", mine[:len(mine)-4], hers} {
		b := save("Forged", owner).refused(http.StatusOK, notYet)
		b.press("Sign in", "email", email, "password", password).noneKept()
	}

	valid := save("Forged", mine).cookie(keptCookie)
	require.NotEmpty(t, valid)
	changed := []byte(valid)
	changed[len(changed)/2] ^= 1
	b := s.signedIn(email, password)
	for _, value := range []string{string(changed), "x", mine, valid[:len(valid)-4]} {
		b.setCookie(keptCookie, value)
		b.open("/settings").noneKept()
	}
	b.setCookie(keptCookie, valid)
	b.open("/settings").refused(http.StatusOK, keptNotice)
}

// TestKept_TooLong checks that what no user types is not kept, and that users are told.
func TestKept_TooLong(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password).open("/settings")
	s.endSessions()
	for _, long := range []string{strings.Repeat("x", keptMax+1), strings.Repeat("x", 60_000)} {
		page := *b
		page.press("Save name", "name", long).at("/login", "Sign in").refused(http.StatusOK, notSaved)
		require.Empty(t, page.cookie(keptCookie))
	}
	for _, odd := range []string{strings.Repeat("\x01", keptMax), strings.Repeat("\xff", keptMax),
		strings.Repeat("💡", nameMax)} {
		page := *b
		page.press("Save name", "name", odd).at("/login", "Sign in")
		for _, c := range page.client.Jar.Cookies(page.URL) {
			require.Less(t, len(c.Value), 4000)
		}
	}
}

// TestKept_Passwords checks that the forms with passwords are not kept.
func TestKept_Passwords(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password).open("/settings")
	owner := b.typed(accountField)
	s.endSessions()
	for path, told := range map[string]string{
		"/settings/password": notSaved,
		"/settings/confirm":  notSaved,
		"/settings/delete":   "nothing was deleted",
		"/sessions/end":      notSaved,
	} {
		b.post(path, url.Values{accountField: {owner}, "current": {password}, "new": {newPassword}, "name": {"x"}}).
			at("/login", "Sign in").refused(http.StatusOK, told)
		require.Empty(t, b.cookie(keptCookie))
	}
}
