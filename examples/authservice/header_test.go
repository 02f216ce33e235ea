package main

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHeader: who is signed in sees so on every page, and is not asked to sign in.
func TestHeader(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	anonymous := s.browser()
	anonymous.open("/register").press("Register", "name", "Alice", "email", email, "password", password).at("/register/sent", "We have sent you a mail")
	link := s.mail(email, confirmSubject, 0).Links[0]
	anonymous.open(link).press("Confirm my address").at("/verify/done", "Your address is confirmed").follow("Sign in").at("/login", "Sign in")
	anonymous.open(link).press("Confirm my address").refused(http.StatusGone, "of no use").follow("Sign in").at("/login", "Sign in")

	b := s.signedIn(email, password)
	for path, status := range map[string]int{"/nowhere": 404, "/verify": 200, "/verify?token=x": 200, "/verify/done": 200, "/register/sent": 200,
		"/maintenance": 503, "/login?a=%zz": 400, "/login/oidc/callback": 403} {
		b.open(path)
		require.Equal(t, status, b.Status, path)
		require.True(t, b.hasHeader(), path)
		require.NotContains(t, b.Body, `href="/login"`, path)
		require.False(t, anonymous.open(path).hasHeader(), path)
	}
	for path, status := range map[string]int{"/": 405, "/verify": 410, "/login": 422, "/register": 422} {
		b.post(path, url.Values{"token": {"x"}})
		require.Equal(t, status, b.Status, path)
		require.True(t, b.hasHeader(), path)
	}
	b.post("/verify", url.Values{"token": {"x"}})
	require.NotContains(t, text(b.all("main")[0]), "ign in") // neither the link nor the words
	b.post("/login", url.Values{"x": {strings.Repeat("x", bodyMax)}}).refused(http.StatusRequestEntityTooLarge, "more than the form takes")
	require.True(t, b.hasHeader())
	b.open("/login").at("/", "Hello, Alice")
	b.open("/register").at("/", "Hello, Alice")

	_, err := s.service.db.Exec("ALTER TABLE sign_ins RENAME TO gone")
	require.NoError(t, err)
	b.open("/sessions").refused(http.StatusInternalServerError, "Something went wrong")
	require.False(t, b.hasHeader(), "a page of a failure asks for nobody")
}

// TestPathsOfForms: what a refused form leaves in the address bar can be opened.
func TestPathsOfForms(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	b := s.signedIn(email, password)
	b.open("/settings").press("Save profile", "name", "").at("/settings/profile", "Settings")
	for path, page := range map[string]string{"/settings/profile": "/settings", "/settings/password": "/settings", "/settings/confirm": "/settings",
		"/sessions/end": "/sessions", "/sessions/end-all": "/sessions", "/logout": "/"} {
		b.open(path)
		require.Equal(t, http.StatusOK, b.Status)
		require.Equal(t, page, b.URL.Path, path)
	}
	b.open("/").at("/", "Hello, Alice") // it was not signed out
	r, err := http.NewRequest("PUT", s.server.URL+"/settings/profile", nil)
	require.NoError(t, err)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	b.do(r).refused(http.StatusMethodNotAllowed, "takes no request of this kind")
	require.Equal(t, "GET, HEAD, POST", b.Header.Get("Allow"))
}

// TestNothingToConfirm: where the address was confirmed in another window, no page says that a link is on its way.
func TestNothingToConfirm(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	s.signedIn(email, password).post("/settings/confirm", nil).at("/settings", "Settings")
	require.Equal(t, 1, s.count("river_job"))
}
