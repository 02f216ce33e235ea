package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPublicHost checks that requests to other hosts are redirected or refused.
func TestPublicHost(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "PUBLIC_URL", "http://localhost:8080")
	ask := func(method, host, target string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, target,
			strings.NewReader("name=Eve&email=eve@example.org&password=correct+horse"))
		r.Host = host
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.server.Config.Handler.ServeHTTP(w, r)
		return w
	}
	others := []string{"127.0.0.1:8080", "[::1]:8080", "elsewhere.example", "localhost.",
		"localhost.elsewhere.example:8080", "localhost@elsewhere.example", ""}
	for _, host := range others {
		for target, want := range map[string]string{
			"/":                              "/",
			"/login/oidc/a/callback?b=%2F&c": "/login/oidc/a/callback?b=%2F&c",
			"/a%2Fb":                         "/a%2Fb",
			"//elsewhere.example/":           "//elsewhere.example/",
			"/nowhere":                       "/nowhere",
		} {
			for _, method := range []string{"GET", "HEAD"} {
				w := ask(method, host, target)
				require.Equal(t, http.StatusTemporaryRedirect, w.Code, "%s for %q", target, host)
				require.Equal(t, "http://localhost:8080"+want, w.Header().Get("Location"))
				require.Empty(t, w.Header().Values("Set-Cookie"))
			}
		}
		for _, method := range []string{"POST", "PUT", "OPTIONS"} {
			w := ask(method, host, "/register")
			require.Equal(t, http.StatusMisdirectedRequest, w.Code, "%s for %q", method, host)
			require.Contains(t, w.Body.String(), "<h1>Wrong address</h1>")
			require.Contains(t, w.Body.String(), "This service is at http://localhost:8080.")
			require.NotEmpty(t, w.Header().Get("Content-Security-Policy"))
		}
		require.Equal(t, http.StatusOK, ask("GET", host, "/readyz").Code)
		require.Equal(t, http.StatusOK, ask("GET", host, "/static/style.css").Code)
	}
	require.Equal(t, 0, s.count("users"))
	for _, host := range []string{"localhost:8080", "localhost", "localhost:9", "LOCALHOST:8080"} {
		require.Equal(t, http.StatusOK, ask("GET", host, "/login").Code, host)
	}
	require.Equal(t, http.StatusSeeOther, ask("POST", "localhost", "/register").Code)
	require.Equal(t, 1, s.count("users"))
}

// TestPublicHost_SignIn checks that a sign-in that starts at another host ends at the public one.
func TestPublicHost_SignIn(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	// httptest's client resolves this name to the server
	b := s.browser().open("https://example.com/login/oidc/acme").at("/", "Hello, Alice")
	require.Equal(t, s.server.URL+"/", b.URL.String())
	r, err := http.NewRequest("POST", "https://example.com/login", strings.NewReader("email="+email))
	require.NoError(t, err)
	b.do(r).refused(http.StatusMisdirectedRequest, "Open the page there")
	require.Equal(t, "example.com", b.URL.Host)
	b.follow("Back to home").at("/", "Hello, Alice")
}
