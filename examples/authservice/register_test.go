package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRegistration_TakenAddress checks that the answer does not reveal a taken address, and that
// the owner gets an email.
func TestRegistration_TakenAddress(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register("Alice@example.org", password)

		answer := func(email string) (status int, header http.Header, body string) {
			b := s.browser()
			b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			b.post("/register", url.Values{"name": {"Mallory"}, "email": {email}, "password": {"some other password"}})
			b.Header.Del("Date")
			b.Header.Del("X-Request-Id") // random
			require.Equal(t, notice{Name: "Mallory", Email: strings.ToLower(strings.TrimSpace(email))}, b.takeNotice())
			return b.Status, b.Header, b.Body
		}
		status, header, body := answer("free@example.org")
		require.Equal(t, http.StatusSeeOther, status)
		for _, email := range []string{"alice@example.org", "  alice@EXAMPLE.org "} {
			thatStatus, thatHeader, thatBody := answer(email)
			require.Equal(t, status, thatStatus)
			require.Equal(t, header, thatHeader)
			require.Equal(t, body, thatBody)
		}
		require.Equal(t, 2, s.count("users"))
		s.mail("free@example.org", confirmSubject, 0)
		s.mail("Alice@example.org", takenSubject, 0) // only one within a minute
		s.mail("Alice@example.org", confirmSubject, 0)
		require.Equal(t, 3, s.count("river_job"), "no other email is queued")
		s.signedIn("alice@example.org", password) // her password is unchanged
		require.Equal(t, 2, s.count("audit WHERE point = 'registration/failed/password' AND outcome = 'address_taken'"))
	})
}

// TestRegistration_Concurrent checks that of many concurrent registrations of an address, one
// succeeds.
func TestRegistration_Concurrent(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		var running sync.WaitGroup
		for range 8 {
			b := s.browser()
			running.Go(func() {
				response, err := b.client.PostForm(s.server.URL+"/register",
					url.Values{"name": {"Alice"}, "email": {email}, "password": {password}})
				if err == nil {
					response.Body.Close()
				}
			})
		}
		running.Wait()
		require.Equal(t, 1, s.count("users"))
		require.Equal(t, 1, s.count("flowhook_verifications"))
		require.Equal(t, 1, s.count("audit WHERE point = 'registration/after/password'"))
		require.Equal(t, 7, s.count("audit WHERE point = 'registration/failed/password' AND outcome = 'address_taken'"))
		s.mail(email, confirmSubject, 0)
		s.mail(email, takenSubject, 0)
	})
}

func TestRegistration_BadForm(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser()
	for _, c := range []struct{ name, user, email, password, want string }{
		{"no name", "", email, password, "Enter your name."},
		{"long name", strings.Repeat("é", 101), email, password, "at most 100"},
		{"name with a control character", "a\x00b", email, password, "Use only printable characters."},
		{"no address", "Alice", "alice", password, "Enter an email address"},
		{"short password", "Alice", email, "seven77", "at least 8"},
		{"long password", "Alice", email, strings.Repeat("x", 129), "at most 128"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			b.open("/register").press("Register", "name", c.user, "email", c.email, "password", c.password).
				refused(http.StatusUnprocessableEntity, c.want)
			require.True(t, strings.HasPrefix(text(b.all("title")[0]), "Error: "))
			var invalid, focused []string
			for _, n := range b.all("input") {
				if attribute(n, "aria-invalid") == "true" {
					invalid = append(invalid, attribute(n, "name"))
					require.Contains(t, attribute(n, "aria-describedby"), attribute(n, "id")+"-error")
				}
				for _, a := range n.Attr {
					if a.Key == "autofocus" {
						focused = append(focused, attribute(n, "name"))
					}
				}
			}
			require.Len(t, invalid, 1)
			require.Equal(t, invalid, focused)
		})
	}
	require.Equal(t, 0, s.count("users"))
	b.t = t
	b.open("/register").press("Register", "name", "Zoë", "email", email, "password", strings.Repeat("ß", 128)).
		at("/register/sent", "Check your email")
}

func TestNormalizeEmail(t *testing.T) {
	for typed, want := range map[string]string{
		"alice@example.org":                      "alice@example.org",
		" Alice@EXAMPLE.org\n":                   "Alice@example.org",
		"a.b+c@example.org":                      "a.b+c@example.org",
		"alice@bücher.example":                   "alice@xn--bcher-kva.example",
		"alice@ｅｘａｍｐｌｅ.org":                      "alice@example.org",
		"":                                       "",
		"alice":                                  "",
		"@example.org":                           "",
		"alice@":                                 "",
		"a b@example.org":                        "",
		`"a b"@example.org`:                      "",
		"a@b@example.org":                        "",
		"mıke@example.org":                       "", // would equal another address in upper case
		"alice@example.org\r\nBcc: x":            "",
		"alice@example.org, bob@example.org":     "",
		"Alice <alice@example.org>":              "",
		"alice@[127.0.0.1]":                      "",
		"alice@example..org":                     "",
		"a\x00b@example.org":                     "",
		strings.Repeat("a", 65) + "@example.org": "",
		"a@" + strings.Repeat("a.", 130) + "org": "",
	} {
		got, ok := normalizeEmail(typed)
		require.Equal(t, want != "", ok, "%q", typed)
		require.Equal(t, want, got, "%q", typed)
	}
}
