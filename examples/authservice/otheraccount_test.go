package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestForms_OtherAccount checks that a form of one account changes nothing after its user has signed in
// to another account in another tab of the same browser, and that every form has its account.
func TestForms_OtherAccount(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, _, _ := newProvidersSite(t, database)
		s.register(email, password)
		s.register("bob@example.org", password)
		old := s.signedIn(email, password) // so that there is another session to end
		for _, c := range []struct {
			page, button string
			values       []string
		}{
			{"/settings", "Save name", []string{"name", "Eve"}},
			{"/settings", "Save name", []string{"name", ""}},
			{"/settings", "Change email", []string{"email", "eve@example.org", "current", password}},
			{"/settings", "Change password", []string{"current", password, "new", "another password"}},
			{"/settings", "Connect Acme", []string{"current", password}},
			{"/settings", "Delete account", []string{"current", password}},
			{"/sessions", "Sign out everywhere", nil},
			{"/sessions", "End session", nil},
		} {
			b := s.signedIn(email, password).open(c.page)
			tab := &browser{t: t, base: b.base, client: b.client}
			tab.open("/").press("Sign out").open("/login").press("Sign in", "email", "bob@example.org", "password", password).
				at("/", "Hello, Alice")
			b.press(c.button, c.values...).at(b.URL.Path, "You have changed accounts").
				refused(http.StatusConflict, "Nothing was changed. The form that you sent belongs to another account, but you "+
					"are signed in as bob@example.org now.")
			tab.open("/settings").at("/settings", "Settings") // still signed in
		}
		old.open("/settings").at("/settings", "Settings")
		require.Equal(t, 2, s.count("users WHERE name = 'Alice'"))
		s.browser().open("/login").press("Sign in", "email", "bob@example.org", "password", password).at("/", "Hello, Alice")
	})
}

// TestForms_OtherAccountRefused checks that a refusal by a hook does not show what was typed in a form
// of another account.
func TestForms_OtherAccountRefused(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.signedIn(email, password)
	form := url.Values{"email": {"secret@example.org"}, "current": {"wrong"}, "account": {"of somebody else"}}
	for range 5 {
		b.post("/settings/email", form).refused(http.StatusConflict, "belongs to another account")
	}
	b.post("/settings/email", form).refused(http.StatusTooManyRequests, "Too many attempts")
	require.NotContains(t, b.Body, "secret@example.org")
}
