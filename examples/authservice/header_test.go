package main

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHeader checks that every page shows that the user is signed in, and does not ask to sign in.
func TestHeader(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	anonymous := s.browser()
	anonymous.open("/register").press("Register", "name", "Alice", "email", email, "password", password).
		at("/register/sent", "Check your email")
	link := s.mail(email, confirmSubject, 0).Links[0]
	anonymous.open(link).press("Confirm my address").at("/verify/done", "Your address is confirmed").
		follow("Sign in").at("/login", "Sign in")
	anonymous.open(link).refused(http.StatusGone, "already used").follow("Sign in").
		at("/login", "Sign in")

	b := s.signedIn(email, password)
	for path, status := range map[string]int{"/nowhere": 404, "/verify": 200, "/verify?token=x": 410,
		"/verify/done": 200, "/register/sent": 200,
		"/maintenance": 503, "/login?a=%zz": 400, "/login/oidc/acme/callback": 403, "/login/oidc/other": 404,
		"/settings/deleted": 200} {
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
	require.NotContains(t, text(b.all("main")[0]), "ign in") // neither the link nor the text
	b.post("/login", url.Values{"x": {strings.Repeat("x", bodyMax)}}).
		refused(http.StatusRequestEntityTooLarge, "What you entered is too long.")
	require.True(t, b.hasHeader())
	b.open("/login").at("/", "Hello, Alice")
	b.open("/register").at("/", "Hello, Alice")

	_, err := s.service.db.Exec("ALTER TABLE sign_ins RENAME TO gone")
	require.NoError(t, err)
	b.open("/sessions").refused(http.StatusInternalServerError, "Something went wrong")
	require.False(t, b.hasHeader(), "error pages do not look up the user")
}

// TestFormPaths checks that a GET of a form's path leads to the page with the form.
func TestFormPaths(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	b := s.signedIn(email, password)
	b.open("/settings").press("Save name", "name", "").at("/settings/profile", "Settings")
	for path, page := range map[string]string{"/settings/profile": "/settings", "/settings/password": "/settings",
		"/settings/confirm": "/settings", "/settings/email": "/settings", "/settings/delete": "/settings",
		"/sessions/end": "/sessions", "/sessions/end-all": "/sessions", "/logout": "/"} {
		b.open(path)
		require.Equal(t, http.StatusOK, b.Status)
		require.Equal(t, page, b.URL.Path, path)
	}
	b.open("/").at("/", "Hello, Alice") // still signed in
	r, err := http.NewRequest("PUT", s.server.URL+"/settings/profile", nil)
	require.NoError(t, err)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	b.do(r).refused(http.StatusMethodNotAllowed, "Something was wrong with what your browser sent.")
	require.Equal(t, "GET, HEAD, POST", b.Header.Get("Allow"))
}

// TestConfirmAgain_AlreadyConfirmed checks that no link is sent to a confirmed address.
func TestConfirmAgain_AlreadyConfirmed(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	s.signedIn(email, password).post("/settings/confirm", nil).at("/settings", "Settings")
	require.Equal(t, 1, s.count("river_job"))
}
