package acceptance_test

import (
	"encoding/base64"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A browserAt has cookies from some hosts; sent returns those that it sends to another host.
type browserAt struct{ *cookiejar.Jar }

func newBrowserAt(t *testing.T, from string, cookies ...*http.Cookie) browserAt {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	b := browserAt{jar}
	b.give(t, from, cookies...)
	return b
}

func (b browserAt) give(t *testing.T, from string, cookies ...*http.Cookie) {
	u, err := url.Parse(from)
	require.NoError(t, err)
	b.SetCookies(u, cookies)
}

func (b browserAt) sent(t *testing.T, to string) (values []string) {
	u, err := url.Parse(to)
	require.NoError(t, err)
	for _, c := range b.Cookies(u) {
		values = append(values, c.Value)
	}
	return values
}

func provesCookieInsecure(t *testing.T) {
	const rule = "cookie-insecure"
	c := claimed(t, rule, "session: {cookie: {secure: false}}", flowtest.WithUsers(flowtest.Alice)).LoginCookie()
	assert.Equal(t, []string{c.Value}, newBrowserAt(t, "https://auth.example.org/", c).sent(t,
		"http://auth.example.org/"))
	c = mended(t, rule, "session: {cookie: {secure: true}}", flowtest.WithUsers(flowtest.Alice)).LoginCookie()
	assert.Empty(t, newBrowserAt(t, "https://auth.example.org/", c).sent(t, "http://auth.example.org/"))
}

func provesCookieCrossSite(t *testing.T) {
	const rule = "cookie-cross-site"
	assert.Equal(t, http.SameSiteNoneMode, claimed(t, rule, "session: {cookie: {same_site: None}}",
		flowtest.WithUsers(flowtest.Alice)).LoginCookie().SameSite)
	assert.Equal(t, http.SameSiteLaxMode, mended(t, rule, "session: {cookie: {same_site: Lax}}",
		flowtest.WithUsers(flowtest.Alice)).LoginCookie().SameSite)
}

func provesCookieDomain(t *testing.T) {
	const rule = "cookie-domain"
	c := claimed(t, rule, "session: {cookie: {domain: example.org}}", flowtest.WithUsers(flowtest.Alice)).LoginCookie()
	b := newBrowserAt(t, "https://auth.example.org/", c)
	assert.Equal(t, []string{c.Value}, b.sent(t, "https://blog.example.org/"), "subdomains must get the cookie")
	b.give(t, "https://blog.example.org/", &http.Cookie{Name: c.Name, Value: "planted", Domain: "example.org",
		Path: "/"})
	assert.Equal(t, []string{"planted"}, b.sent(t, "https://auth.example.org/"),
		"a subdomain must be able to replace the cookie")

	c = mended(t, rule, "session: {cookie: {persistent: true}}", flowtest.WithUsers(flowtest.Alice)).LoginCookie()
	assert.Empty(t, newBrowserAt(t, "https://auth.example.org/", c).sent(t, "https://blog.example.org/"))
}

func provesCookiePrefix(t *testing.T) {
	const rule = "cookie-prefix"
	h := claimed(t, rule, "session: {cookie: {name: app}}", flowtest.WithUsers(flowtest.Alice, flowtest.Bob))
	planted := h.LoginCookie()
	planted.Domain = "example.org" // a neighboring host sets it for all hosts
	b := newBrowserAt(t, "https://blog.example.org/", planted)
	assert.Equal(t, []string{planted.Value}, b.sent(t, "https://auth.example.org/"))
	r := flowtest.NewRequest()
	r.AddCookie(&http.Cookie{Name: "app", Value: b.sent(t, "https://auth.example.org/")[0]})
	s, err := h.Pipeline.Sessions().FromRequest(r)
	require.NoError(t, err)
	assert.Equal(t, "alice", s.IdentityID, "the browser must be in the attacker's session")

	// Browsers reject a cookie with this name and a Domain, so a neighboring host cannot set one.
	c := mended(t, rule, "session: {cookie: {persistent: true}}", flowtest.WithUsers(flowtest.Alice)).LoginCookie()
	assert.Equal(t, "__Host-session; /; ; true", c.Name+"; "+c.Path+"; "+c.Domain+"; "+
		map[bool]string{true: "true"}[c.Secure])
}

func provesCookieScope(t *testing.T) {
	const rule = "cookie-scope"
	// A user signs in, the file changes, and the user signs in again where the browser does not send the old cookie.
	signInTwice := func(cookie string) (*flowtest.Service, *flowtest.Browser) {
		h := flowtest.NewService(t, "session: {cookie: {name: app, path: /whoami}}", flowtest.WithUsers(flowtest.Alice))
		b := h.Browser()
		b.PostPath("/login/password", "user", "alice")
		require.Equal(t, "alice", b.WhoAmI())
		require.NoError(t, h.Pipeline.Reload(flowtest.Parse(t, "session: {cookie: {"+cookie+"}}"+flowtest.SecretYAML)))
		b.PostPath("/login/password", "user", "alice")
		return h, b
	}
	h, b := signInTwice("name: app")
	require.True(t, flowtest.HasFinding(h.Pipeline, rule))
	assert.Equal(t, "anonymous", b.WhoAmI(), "the browser must send both cookies")

	h, b = signInTwice("name: app2")
	require.False(t, flowtest.HasFinding(h.Pipeline, rule))
	assert.Equal(t, "alice", b.WhoAmI(), "only the new cookie must count")
}

func provesPlainRedirect(t *testing.T) {
	const rule = "plain-redirect"
	for _, row := range []struct {
		to    string
		start func(*testing.T, string, string, ...change) *flowtest.Service
		sent  int
	}{{"http://auth.example.org/home", claimed, 0}, {"https://auth.example.org/home", mended, 1}} {
		h := row.start(t, rule, "selfservice: {login: {after: [{hook: redirect, config: {to: '"+row.to+"'}}]}}",
			flowtest.WithUsers(flowtest.Alice))
		res := h.Browser().PostPath("/login/password", "user", "alice")
		require.Equal(t, []string{row.to}, res.Header["Location"])
		assert.Len(t, newBrowserAt(t, "https://auth.example.org/login", res.Cookies()...).sent(t, row.to), row.sent)
	}
}

func provesExampleSecret(t *testing.T) {
	const rule = "example-secret"
	fromTheDocument := "something-super-secret"
	assert.True(t, claimed(t, rule, flowtest.Document(t, "07-session-secrets.yml")).AcceptsSecret(fromTheDocument))
	assert.False(t, mended(t, rule, "secrets: {session: ["+flowtest.StrongSecret+"]}").AcceptsSecret(fromTheDocument))
}

// parts returns what is signed in a token. Everyone who has the token can read it.
func parts(t *testing.T, token string) (date, id string) {
	t.Helper()
	text, err := base64.URLEncoding.DecodeString(token)
	require.NoError(t, err)
	fields := strings.SplitN(string(text), "|", 3)
	require.Len(t, fields, 3)
	content, err := base64.URLEncoding.DecodeString(fields[1])
	require.NoError(t, err)
	return fields[0], string(content)
}

func provesWeakSecret(t *testing.T) {
	const rule = "weak-secret"
	words := []string{"correct", "horse", "battery", "staple"}
	guess := func(h *flowtest.Service) (found string) {
		mine := h.LoginCookie().Value // a user who signs in has a token to test guesses with, offline
		date, id := parts(t, mine)
		for _, a := range words {
			for _, b := range words {
				for _, c := range words {
					secret := a + "-" + b + "-" + c
					if flowtest.SignToken(secret, flowtest.CookieName, date, id) == mine {
						return secret
					}
				}
			}
		}
		return ""
	}
	h := claimed(t, rule, "secrets: {session: [battery-horse-staple]}", flowtest.WithUsers(flowtest.Alice))
	assert.Equal(t, "battery-horse-staple", guess(h))
	assert.True(t, h.AcceptsSecret("battery-horse-staple"))
	assert.Empty(t, guess(mended(t, rule, "secrets: {session: ["+flowtest.StrongSecret+"]}",
		flowtest.WithUsers(flowtest.Alice))))
}

func provesUnusedSecrets(t *testing.T) {
	const rule, inFile = "unused-secrets", "Yk3vWq8ZtB1nLx6RfDs0HgJ5mCpUa9EoTi2N4bKzVw7"
	text := "secrets: {session: [" + inFile + "]}"
	h := claimed(t, rule, text, func(_ *flowtest.Service, o *flowhook.Options) {
		o.Secrets = []string{flowtest.StrongSecret}
	})
	assert.False(t, h.AcceptsSecret(inFile))
	assert.True(t, h.AcceptsSecret(flowtest.StrongSecret))
	assert.True(t, mended(t, rule, text).AcceptsSecret(inFile))
}

func provesReturnScheme(t *testing.T) {
	const rule = "return-scheme"
	h := claimed(t, rule, "selfservice: {allowed_return_urls: ['exp://localhost:8081/app', 'https://example.org/']}")
	_, err := h.ReturnTo("exp://localhost:8081/app")
	assert.ErrorIs(t, err, flowhook.ErrBadReturnURL)
	to, err := h.ReturnTo("https://example.org/")
	assert.NoError(t, err, "the other secrets must be accepted")
	assert.Equal(t, "https://example.org/", to)
	to, err = mended(t, rule, "selfservice: {allowed_return_urls: ['https://localhost:8081/app']}").ReturnTo("https://localhost:8081/app")
	assert.NoError(t, err)
	assert.Equal(t, "https://localhost:8081/app", to)
}

func provesOverruled(t *testing.T) {
	const rule = "overruled"
	const newer = "session: {cookie: {same_site: Lax}}\nselfservice: {default_return_to: /new, allowed_return_urls: [/new], " +
		"registration: {after: [{hook: verify}]}, verification: {ui_url: 'https://new.example.org/'}}\n"
	const older = "cookies: {same_site: Strict}\nurls: {default_return_to: /old, whitelisted_return_to_urls: [/old], verify_ui: 'https://old.example.org/'}\n"
	for _, h := range []*flowtest.Service{claimed(t, rule, newer+older, flowtest.WithUsers(flowtest.Alice),
		noVerificationURL), mended(t, rule, newer, flowtest.WithUsers(flowtest.Alice), noVerificationURL)} {
		to, err := h.ReturnTo("")
		assert.NoError(t, err)
		assert.Equal(t, "/new", to)
		_, err = h.ReturnTo("/new")
		assert.NoError(t, err)
		_, err = h.ReturnTo("/old")
		assert.ErrorIs(t, err, flowhook.ErrBadReturnURL)
		assert.Equal(t, http.SameSiteLaxMode, h.LoginCookie().SameSite)
		assert.Equal(t, "new.example.org", h.VerificationLink().Hostname())
	}
}
