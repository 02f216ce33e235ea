package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newProvidersSite returns a site with the providers Acme and Globex.
func newProvidersSite(t *testing.T, database string, pairs ...string) (s *site, acme, globex *fakeProvider) {
	acme, globex = newFakeProvider(t), newFakeProvider(t)
	pairs = append(pairs, "OIDC_PROVIDERS", "acme,globex", "OIDC_ACME_NAME", "Acme", "OIDC_GLOBEX_NAME", "Globex")
	pairs = append(pairs, providerEnvironment("acme", acme.URL)...)
	pairs = append(pairs, providerEnvironment("globex", globex.URL)...)
	return newSite(t, database, pairs...), acme, globex
}

// authenticates makes the provider say that it has just authenticated the user.
func (p *fakeProvider) authenticates() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims["auth_time"] = time.Now().Unix()
}

// stopping makes the browser stop before it opens a callback. It returns the callback, after goOn has
// led there.
func (b *browser) stopping(goOn func()) *url.URL {
	b.t.Helper()
	b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	goOn()
	b.client.CheckRedirect = nil
	callback, err := url.Parse(b.Header.Get("Location"))
	require.NoError(b.t, err)
	require.Contains(b.t, callback.Path, "/callback")
	return callback
}

// TestProviders_Buttons checks that each provider has a button with its logo and its name, in the
// order of OIDC_PROVIDERS, whatever the name contains.
func TestProviders_Buttons(t *testing.T) {
	logo := filepath.Join(t.TempDir(), "logo.png")
	require.NoError(t, os.WriteFile(logo, []byte("\x89PNG"), 0o600))
	names := []string{"<script>alert(1)</script> & Co.", "شركة المثال", "Die ganz besonders lange Anmeldung GmbH", "社内ログイン",
		"Acme"}
	pairs := []string{"OIDC_PROVIDERS", "script,arabic,long,japanese,acme", "OIDC_ACME_LOGO", logo}
	for i, key := range []string{"script", "arabic", "long", "japanese", "acme"} {
		pairs = append(pairs, "OIDC_"+strings.ToUpper(key)+"_NAME", names[i])
		pairs = append(pairs, providerEnvironment(key, newFakeProvider(t).URL)...)
	}
	s := newSite(t, "sqlite:"+t.TempDir()+"/db", pairs...)
	s.register(email, password)
	signedIn := s.signedIn(email, password)
	check := func(b *browser, labels []string) {
		t.Helper()
		for _, name := range names {
			require.Contains(t, labels, name)
		}
		require.NotContains(t, b.Body, "<script>alert")
		image := ""
		for _, n := range b.all("img") {
			if strings.HasPrefix(attribute(n, "src"), "/static/provider-") {
				require.Empty(t, image, "only one provider has a logo")
				image = attribute(n, "src")
				require.Equal(t, []string{"", "20", "20"},
					[]string{attribute(n, "alt"), attribute(n, "width"), attribute(n, "height")})
			}
		}
		b.open(image)
		require.Equal(t, "image/png", b.Header.Get("Content-Type"))
		require.Equal(t, "\x89PNG", b.Body)
	}
	for _, path := range []string{"/login", "/register"} {
		b := s.browser().open(path)
		var labels []string
		for _, n := range b.all("a") {
			if name, ok := strings.CutPrefix(text(n), "Continue with "); ok {
				labels = append(labels, name)
			}
		}
		require.Equal(t, names, labels)
		check(b, labels)
	}
	var labels []string
	for _, n := range signedIn.open("/settings").all("button") {
		if name, ok := strings.CutPrefix(text(n), "Connect "); ok {
			labels = append(labels, name)
		}
	}
	check(signedIn, labels)
	signedIn.open("/settings").press("Connect "+names[0], "current", password).
		at("/settings/providers/script/connect", "Continue to "+names[0]).follow("Continue to "+names[0]).
		refused(http.StatusOK, "You can now sign in with "+names[0]+".")
	require.NotContains(t, signedIn.Body, "<script>alert")
	require.NotContains(t, s.mail(email, connectedSubject, 0).HTML, "<script>")
}

// TestProviders_Separate checks that users of several providers with the same subject are different
// users, and that each keeps the account.
func TestProviders_Separate(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, _, globex := newProvidersSite(t, database)
		globex.is("1", "bob@example.org", true)
		for range 2 {
			s.browser().open("/settings").at("/login", "Sign in").follow("Continue with Acme").at("/settings", "Settings").
				refused(http.StatusOK, "Your email address is "+email)
			s.browser().open("/login").follow("Continue with Globex").open("/settings").
				refused(http.StatusOK, "Your email address is bob@example.org")
		}
		require.Equal(t, 2, s.count("users"))
		require.Equal(t, 2, s.count("oidc_identities WHERE subject = '1'"))
		s.browser().open("/login/oidc/initech").refused(http.StatusNotFound, "There is no page")
		s.browser().open("/login/oidc/initech/callback").refused(http.StatusNotFound, "There is no page")
	})
}

// TestProviders_MixUp checks that no provider receives the code of another one: a callback counts
// only at the provider of the attempt.
func TestProviders_MixUp(t *testing.T) {
	s, acme, globex := newProvidersSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser()
	callback := b.stopping(func() { b.open("/login/oidc/acme") })
	require.Equal(t, s.server.URL+callbackPath("acme"), acme.asked.Get("redirect_uri"))
	callback.Path = callbackPath("globex")
	b.open(callback.String()).refused(http.StatusForbidden, "was not started in this browser")
	require.Equal(t, 0, acme.used+globex.used)
	require.Equal(t, 0, s.count("users"))
	callback.Path = callbackPath("acme")
	b.open(callback.String()).at("/", "Hello, Alice")
}

// TestProviders_Named checks that errors name the provider, and that one that is down does not
// affect the other.
func TestProviders_Named(t *testing.T) {
	s, acme, globex := newProvidersSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser()
	for problem, want := range map[string]string{"access_denied": "You canceled the sign-in at Acme. Nothing was changed.",
		"server_error": "The sign-in at Acme did not succeed. Please try again."} {
		callback := b.stopping(func() { b.open("/login/oidc/acme") })
		callback.RawQuery += "&error=" + problem
		b.open(callback.String()).refused(http.StatusForbidden, want)
	}
	acme.is("1", email, false)
	b.open("/login/oidc/acme").refused(http.StatusForbidden, "Your email address is not verified at Acme")
	callback := b.stopping(func() { b.open("/login/oidc/acme") })
	acme.Close()
	b.open(callback.String()).refused(http.StatusServiceUnavailable, "You cannot sign in with Acme right now, because it "+
		"cannot be reached.")
	globex.Close()
	b.open("/login/oidc/globex").refused(http.StatusServiceUnavailable, "You cannot sign in with Globex right now")
}
