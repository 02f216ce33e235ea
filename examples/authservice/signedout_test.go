package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSignedOut checks that the sign-in page says why a user is no longer signed in, and that signing
// in leads back to where the user was.
func TestSignedOut(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	const out = "You were signed out"
	require.NotContains(t, s.browser().open("/sessions").at("/login", "Sign in").Body, out, "a new browser")

	b := s.signedIn(email, password)
	s.ahead.Add(int64(24*time.Hour - time.Minute))
	b.open("/sessions").at("/sessions", "Your sessions")
	s.ahead.Add(int64(time.Minute))
	b.open("/").at("/", "Welcome to Accounts").refused(http.StatusOK, "You were signed out because your session expired.")
	b.open("/sessions").at("/login", "Sign in").refused(http.StatusOK, "You were signed out because your session expired.")
	b.press("Sign in", "email", email, "password", "wrong").refused(wrong, "Wrong email address or password.")
	require.NotContains(t, b.Body, out)
	b.press("Sign in", "email", email, "password", password).at("/sessions", "Your sessions")

	other := s.signedIn(email, password).open("/sessions").press("Sign out everywhere").at("/", "Welcome to Accounts")
	require.NotContains(t, other.Body+other.open("/login").Body, out, "signed out there")
	b.post("/settings/profile", url.Values{"name": {"Alice L."}}).at("/login", "Sign in").
		refused(http.StatusOK, "You were signed out from another browser, or because your password or address "+
			"changed. Please sign in again. What you entered was not saved.")
	b.press("Sign in", "email", email, "password", password).at("/settings", "Settings")
	b.press("Sign out").at("/", "Welcome to Accounts")
	require.NotContains(t, b.open("/login").Body, out)
	require.Equal(t, 0, s.count("users WHERE name = 'Alice L.'"))
}

// TestSignedOut_CookieDropped checks that the sign-in page explains what a browser does that refuses
// Secure cookies over http.
func TestSignedOut_CookieDropped(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	s.service.config.PublicURL = "http://127.0.0.1:8080" // the test's server has TLS, so that the jar keeps cookies
	b := s.browser()
	b.client.Jar = &withoutSecure{b.client.Jar}
	b.open("/login").press("Sign in", "email", email, "password", password).at("/", "Welcome to Accounts").
		refused(http.StatusOK, "your browser did not keep the session cookie")
	b.open("/login").refused(http.StatusOK, "Safari refuses Secure cookies on http").
		refused(http.StatusOK, "session.cookie.secure: false")
	s.ahead.Add(int64(time.Minute))
	require.NotContains(t, b.open("/login").Body, "Safari")
}

// A withoutSecure is a cookie jar that drops Secure cookies.
type withoutSecure struct{ http.CookieJar }

func (j *withoutSecure) SetCookies(u *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		if !c.Secure {
			j.CookieJar.SetCookies(u, []*http.Cookie{c})
		}
	}
}

// TestReturnTo checks that signing in leads only to what auth.yml allows.
func TestReturnTo(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register("bob@example.org", password)
	for to, want := range map[string]string{
		"/settings":                       "/settings",
		"/sessions":                       "/sessions",
		"":                                "/",
		"/nowhere":                        "/",
		"//elsewhere.example/settings":    "/",
		"https://elsewhere.example/":      "/",
		"/settings/../../login":           "/",
		"javascript:alert(1)":             "/",
		`/\elsewhere.example/settings`:    "/",
		s.server.URL + ".evil/settings":   "/",
		"/settings%2f..%2f..%2felsewhere": "/",
	} {
		path := "/login?" + url.Values{"return_to": {to}}.Encode()
		b := s.browser().open(path).press("Sign in", "email", "bob@example.org", "password", password)
		require.Equal(t, s.server.URL+want, b.URL.String(), to)
		require.Equal(t, s.server.URL+want, b.open(path).URL.String(), "already signed in: %s", to)
		b = s.browser().open(path)
		for _, n := range b.all("a") {
			if strings.HasPrefix(text(n), "Continue with") {
				b.open(attribute(n, "href"))
				break
			}
		}
		require.Equal(t, s.server.URL+want, b.URL.String(), "with the provider: %s", to)
	}
}
