package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRegistrationTellsNothing: with a taken address, everything that the client sees is the same, and the owner gets a mail.
func TestRegistrationTellsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register("Alice@example.org", password)

		answer := func(email string) (status int, header http.Header, body string) {
			b := s.browser()
			b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			b.post("/register", url.Values{"name": {"Mallory"}, "email": {email}, "password": {"some other password"}})
			b.Header.Del("Date")
			return b.Status, b.Header, b.Body
		}
		status, header, body := answer("free@example.org")
		require.Equal(t, http.StatusSeeOther, status)
		for _, email := range []string{"Alice@example.org", "  alice@EXAMPLE.org "} {
			thatStatus, thatHeader, thatBody := answer(email)
			require.Equal(t, status, thatStatus)
			require.Equal(t, header, thatHeader)
			require.Equal(t, body, thatBody)
		}
		require.Equal(t, 2, s.count("users"))
		s.mail("free@example.org", confirmSubject, 0)
		s.mail("Alice@example.org", takenSubject, 0) // one: twice within a minute is once
		s.mail("Alice@example.org", confirmSubject, 0)
		require.Equal(t, 3, s.count("river_job"), "and no other mail is under way")
		s.signedIn("alice@example.org", password) // it is still her password
		require.Equal(t, 2, s.count("audit WHERE point = 'registration/failed/password' AND outcome = 'address_taken'"))
	})
}

// TestOneAddressAtOnce: of many that register an address at the same time, one gets it.
func TestOneAddressAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		var running sync.WaitGroup
		for range 8 {
			b := s.browser()
			running.Go(func() {
				response, err := b.client.PostForm(s.server.URL+"/register", url.Values{"name": {"Alice"}, "email": {email}, "password": {password}})
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

func TestRegistrationForm(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser()
	for _, c := range []struct{ what, name, email, password, says string }{
		{"no name", "", email, password, "Enter your name."},
		{"a long name", strings.Repeat("é", 101), email, password, "at most 100"},
		{"a name that turns the line around", "a\u202eb", email, password, "Use letters"},
		{"no address", "Alice", "alice", password, "Enter an email address"},
		{"a short password", "Alice", email, "seven77", "at least 8"},
		{"a long password", "Alice", email, strings.Repeat("x", 129), "at most 128"},
	} {
		t.Run(c.what, func(t *testing.T) {
			b.t = t
			b.open("/register").press("Register", "name", c.name, "email", c.email, "password", c.password).refused(http.StatusUnprocessableEntity, c.says)
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
	b.open("/register").press("Register", "name", "Zoë", "email", email, "password", strings.Repeat("ß", 128)).at("/register/sent", "We have sent you a mail")
}

func TestNormaliseEmail(t *testing.T) {
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
		"mıke@example.org":                       "", // another one's, in upper case
		"alice@example.org\r\nBcc: x":            "",
		"alice@example.org, bob@example.org":     "",
		"Alice <alice@example.org>":              "",
		"alice@[127.0.0.1]":                      "",
		"alice@example..org":                     "",
		"a\x00b@example.org":                     "",
		strings.Repeat("a", 65) + "@example.org": "",
		"a@" + strings.Repeat("a.", 130) + "org": "",
	} {
		got, ok := normaliseEmail(typed)
		require.Equal(t, want != "", ok, "%q", typed)
		require.Equal(t, want, got, "%q", typed)
	}
}
