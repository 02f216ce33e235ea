package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDebug checks that requests from this machine can see the page, whatever PUBLIC_URL is, and
// that for all others it does not exist.
func TestDebug(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "PUBLIC_URL", "https://accounts.example", "SMTP_URL", "smtp://127.0.0.1:1")
	ask := func(method, from, host, target string, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
		r.RemoteAddr, r.Host = from, host
		for name, values := range header {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
		w := httptest.NewRecorder()
		s.server.Config.Handler.ServeHTTP(w, r)
		return w
	}
	for _, c := range [][2]string{{"127.0.0.1:999", "127.0.0.1:8080"}, {"127.0.0.1:999", "localhost"}, {"[::1]:999", "[::1]:8080"}, {"[::ffff:127.0.0.1]:999", "127.8.8.8"}} {
		w := ask("GET", c[0], c[1], "/debug/hooks", nil)
		require.Equal(t, http.StatusOK, w.Code, c)
		require.Equal(t, http.StatusOK, ask("HEAD", c[0], c[1], "/debug/hooks", nil).Code)
		require.Len(t, w.Header().Values("Content-Security-Policy"), 1)
		require.NotEqual(t, policy, w.Header().Get("Content-Security-Policy"), "the page needs a policy that allows its styles")
		require.Contains(t, w.Body.String(), "<style")
	}

	const here = "127.0.0.1:999"
	for what, c := range map[string]struct {
		method, from, host string
		header             http.Header
	}{
		"other machine":                  {"GET", "192.0.2.1:999", "accounts.example", nil},
		"other machine, loopback host":   {"GET", "192.0.2.1:999", "127.0.0.1", nil},
		"unknown address":                {"GET", "@", "127.0.0.1", nil},
		"public host":                    {"GET", here, "accounts.example", nil},
		"host that resolves to loopback": {"GET", here, "rebound.example:8080", nil},
		"host like localhost":            {"GET", here, "localhost.example", nil},
		"no host":                        {"GET", here, "", nil},
		"POST":                           {"POST", here, "127.0.0.1", nil},
		"Forwarded":                      {"GET", here, "127.0.0.1", http.Header{"forwarded": {"for=192.0.2.1"}}},
		"X-Forwarded-For":                {"GET", here, "127.0.0.1", http.Header{"x-forwarded-for": {"127.0.0.1"}}},
		"X-Forwarded-Proto":              {"GET", here, "127.0.0.1", http.Header{"x-forwarded-proto": {""}}},
		"X-Real-IP":                      {"GET", here, "127.0.0.1", http.Header{"x-real-ip": {"192.0.2.1"}}},
		"Via":                            {"GET", here, "127.0.0.1", http.Header{"via": {"1.1 proxy"}}},
	} {
		t.Run(what, func(t *testing.T) {
			w := ask(c.method, c.from, c.host, "/debug/hooks", c.header)
			unknown := ask(c.method, c.from, c.host, "/debug/nothing", c.header)
			require.Equal(t, unknown.Code, w.Code)
			require.Equal(t, strings.ReplaceAll(unknown.Body.String(), "/debug/nothing", "/debug/hooks"), w.Body.String())
			require.NotEqual(t, http.StatusOK, w.Code)
			require.Equal(t, policy, w.Header().Get("Content-Security-Policy"))
			if w.Code == http.StatusTemporaryRedirect {
				w = ask(c.method, c.from, "accounts.example", "/debug/hooks", c.header) // follow the redirect
			}
			if c.method == "GET" {
				require.Equal(t, http.StatusNotFound, w.Code)
				require.Contains(t, w.Body.String(), "There is no page at this address.")
			}
		})
	}
	require.NotEqual(t, http.StatusOK, ask("GET", here, "127.0.0.1", "/debug/hooks/", nil).Code)
}

// hookPage returns the page as an operator on this machine sees it.
func (s *site) hookPage(t *testing.T) string {
	r := httptest.NewRequestWithContext(t.Context(), "GET", debugPath, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:999", "127.0.0.1"
	w := httptest.NewRecorder()
	s.server.Config.Handler.ServeHTTP(w, r)
	return w.Body.String()
}

// TestDebug_Figures checks how often the page says that a hook has run, also after a reload.
func TestDebug_Figures(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	b := s.from("192.0.2.1")
	for range 5 {
		require.Equal(t, wrong, b.tries(email, "wrong"))
	}
	require.Equal(t, tooMany, b.tries(email, "wrong"))
	s.service.reload(t.Context())
	require.Equal(t, tooMany, b.tries(email, "wrong"))
	page := strings.Join(strings.Fields(regexp.MustCompile("<[^>]*>").ReplaceAllString(s.hookPage(t), " ")), " ")
	require.Regexp(t, `rate_limit \S.*? ran 7, answered 0, refused 2, failed 0`, page)
	require.Regexp(t, `audit \S.*? ran 5, answered 0, refused 0, failed 0`, page)
}
