package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// providerEnvironment returns the variables of a provider with a key, and OIDC_PROVIDERS.
func providerEnvironment(key, issuer string) []string {
	name := "OIDC_" + strings.ToUpper(key)
	return []string{"OIDC_PROVIDERS", key, name + "_ISSUER", issuer, name + "_CLIENT_ID", "client",
		name + "_CLIENT_SECRET", "secret"}
}

func newOIDCSite(t *testing.T, database string) (*site, *fakeProvider) {
	p := newFakeProvider(t)
	return newSite(t, database, providerEnvironment("acme", p.URL)...), p
}

func TestOIDC(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, p := newOIDCSite(t, database)
		link := "Continue with " + strings.TrimPrefix(p.URL, "http://")
		b := s.browser()
		b.open("/login").follow(link).at("/", "Hello, Alice")
		require.Contains(t, b.Body, "is confirmed")
		require.Equal(t, 1, s.count("users WHERE verified_at IS NOT NULL AND password_hash IS NULL"))
		require.Equal(t, 1, s.count("flowhook_sessions"))
		require.Equal(t, 1, s.count("audit WHERE point = 'registration/after/oidc'"))

		p.is("1", "changed@example.org", false) // the same user with other claims
		other := s.browser().open("/login").follow(link).at("/", "Hello, Alice")
		require.Equal(t, 1, s.count("users"))
		require.Contains(t, other.Body, email)
		require.Equal(t, 1, s.count("audit WHERE point = 'login/after/oidc'"))
		s.mail(email, deviceSubject, 0)

		// An account without a password accepts none.
		s.browser().open("/login").press("Sign in", "email", email, "password", "").
			refused(http.StatusUnprocessableEntity, "Wrong email address or password.")
	})
}

// TestOIDC_NoLinking checks that an existing account is not linked by its address.
func TestOIDC_NoLinking(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, p := newOIDCSite(t, database)
		s.register("Alice@example.org", password)
		for _, c := range []struct {
			email    string
			verified bool
			want     string
		}{
			{email, true, "An account with your email address already exists"},
			{"ALICE@EXAMPLE.ORG", true, "An account with your email address already exists"},
			{"new@example.org", false, "Your email address is not verified at"},
			{"", true, "Your email address is not verified at"},
			{"a@b@c", true, "Your email address is not verified at"},
		} {
			p.is("1", c.email, c.verified)
			b := s.browser().open("/login/oidc/acme").refused(http.StatusForbidden, c.want)
			b.open("/settings").at("/login", "Sign in")
		}
		require.Equal(t, 1, s.count("users"))
		require.Equal(t, 0, s.count("oidc_identities"))
		require.Equal(t, 0, s.count("flowhook_sessions"))
		require.Equal(t, 2, s.count("audit WHERE point = 'registration/failed/oidc' AND outcome = 'address_taken'"))
		require.Equal(t, 3, s.count("audit WHERE point = 'registration/failed/oidc' AND outcome = "+
			"'address_unverified'"))
	})
}

// TestOIDC_ClosedRegistration checks that a redirect before registration also applies to users of
// the provider.
func TestOIDC_ClosedRegistration(t *testing.T) {
	p := newFakeProvider(t)
	s := newSite(t, "sqlite:"+t.TempDir()+"/db", append(providerEnvironment("acme", p.URL), "AUTH_CONFIG",
		withConfig(t, "    registration:\n      before:\n        hooks:\n", "    registration:\n      before:\n        hooks:\n"+
			"          - hook: redirect\n            config:\n              to: /maintenance\n"))...)
	s.browser().open("/login/oidc/acme").at("/maintenance", "Down for maintenance")
	require.Equal(t, 0, s.count("users"))
}

// TestOIDC_Issuer checks that a callback of a provider that announces the parameter iss must have it
// (RFC 9207).
func TestOIDC_Issuer(t *testing.T) {
	p := newFakeProvider(t)
	p.issues = true
	s := newSite(t, "sqlite:"+t.TempDir()+"/db", providerEnvironment("acme", p.URL)...)
	for _, c := range []struct {
		iss string
		ok  bool
	}{{"", false}, {"https://elsewhere.example", false}, {p.URL + "/", false}, {p.URL, true}} {
		b := s.browser()
		b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if q := r.URL.Query(); r.URL.Path == callbackPath("acme") && c.iss != "" {
				q.Set("iss", c.iss)
				r.URL.RawQuery = q.Encode()
			}
			return nil
		}
		b.open("/login/oidc/acme")
		if c.ok {
			b.at("/", "Hello, Alice")
		} else {
			b.refused(http.StatusForbidden, "was not started in this browser")
		}
	}
	require.Equal(t, 1, p.used, "no other code was redeemed")
}

// TestOIDC_ForgedCallbacks checks that neither forged callbacks nor wrong tokens sign anyone in.
func TestOIDC_ForgedCallbacks(t *testing.T) {
	s, p := newOIDCSite(t, "sqlite:"+t.TempDir()+"/db")
	// stop returns a browser that has been to the provider, and the callback that it has not
	// opened.
	stop := func() (b *browser, callback *url.URL) {
		b = s.browser()
		b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == callbackPath("acme") {
				return http.ErrUseLastResponse
			}
			return nil
		}
		b.open("/login/oidc/acme")
		callback, err := url.Parse(b.Header.Get("Location"))
		require.NoError(t, err)
		b.client.CheckRedirect = nil
		return b, callback
	}
	with := func(u *url.URL, name, value string) string {
		changed, q := *u, u.Query()
		q.Set(name, value)
		changed.RawQuery = q.Encode()
		return changed.String()
	}
	const notStarted, notSignedIn = "was not started in this browser", "did not succeed"
	check := func(what, want string, b *browser, target string) {
		t.Run(what, func(t *testing.T) {
			b.t = t
			b.open(target).refused(http.StatusForbidden, want)
			b.open("/settings").at("/login", "Sign in")
		})
	}

	b, callback := stop()
	check("callback of another browser", notStarted, s.browser(), callback.String())
	check("other state", notStarted, b, with(callback, "state", "another"))
	b, callback = stop()
	check("no state", notStarted, b, with(callback, "state", ""))
	b, callback = stop()
	check("issuer of another provider", notStarted, b, with(callback, "iss", "https://elsewhere.example"))
	b, callback = stop()
	check("canceled at the provider", "You canceled the sign-in", b, with(callback, "error", "access_denied"))
	b, callback = stop()
	check("refused by the provider", notSignedIn, b, with(callback, "error", "server_error"))
	b, callback = stop()
	check("no code", notSignedIn, b, with(callback, "code", ""))
	b, callback = stop()
	check("other code", notSignedIn, b, with(callback, "code", "another"))
	_, theirs := stop()
	b, callback = stop()
	check("code of another sign-in", notSignedIn, b, with(callback, "code", theirs.Query().Get("code"))) // PKCE

	b, callback = stop()
	cookie := ""
	base, err := url.Parse(s.server.URL + "/")
	require.NoError(t, err)
	for _, c := range b.client.Jar.Cookies(base) {
		if c.Name == attemptCookie {
			cookie = c.Value
		}
	}
	require.NotEmpty(t, cookie)
	b.open(callback.String()).at("/", "Hello, Alice")
	check("replayed", notStarted, s.browser(), callback.String())
	t.Run("replayed with the cookie", func(t *testing.T) {
		r, err := http.NewRequest("GET", callback.String(), nil)
		require.NoError(t, err)
		r.AddCookie(&http.Cookie{Name: attemptCookie, Value: cookie})
		thief := s.browser()
		thief.t = t
		thief.do(r).refused(http.StatusForbidden, notSignedIn)
	})

	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for what, forge := range map[string]func(claims map[string]any){
		"other nonce":       func(c map[string]any) { c["nonce"] = "another" },
		"no nonce":          func(c map[string]any) { delete(c, "nonce") },
		"other audience":    func(c map[string]any) { c["aud"] = "another" },
		"other issuer":      func(c map[string]any) { c["iss"] = "https://elsewhere.example" },
		"expired":           func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
		"without a subject": func(c map[string]any) { delete(c, "sub") },
		"other key":         func(map[string]any) { p.signer = stranger },
	} {
		b, callback := stop()
		p.mu.Lock()
		p.signer, p.forge = p.key, forge
		p.mu.Unlock()
		check(what, notSignedIn, b, callback.String())
	}
	require.Equal(t, 1, s.count("flowhook_sessions"))
	require.Equal(t, 1, s.count("users"))
	require.Empty(t, s.log.lines("token=", "level=ERROR"))

	b, callback = stop()
	p.Close()
	b.open(callback.String()).refused(http.StatusServiceUnavailable, "cannot be reached")
}
