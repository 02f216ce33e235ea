package flowhook_test

import (
	"encoding/base64"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loginCookie is the session cookie of somebody who signs in.
func (h *host) loginCookie() *http.Cookie {
	h.t.Helper()
	cookies := h.browser().post("/login/password", "user", "alice").Cookies()
	require.Len(h.t, cookies, 1)
	return cookies[0]
}

// A browserAt has been given cookies by some hosts; sent says what it sends to another.
type browserAt struct{ *cookiejar.Jar }

func given(t *testing.T, from string, cookies ...*http.Cookie) browserAt {
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
	c := claimed(t, rule, "session: {cookie: {secure: false}}", withUsers(alice)).loginCookie()
	assert.Equal(t, []string{c.Value}, given(t, "https://auth.example.org/", c).sent(t, "http://auth.example.org/"))
	c = mended(t, rule, "session: {cookie: {secure: true}}", withUsers(alice)).loginCookie()
	assert.Empty(t, given(t, "https://auth.example.org/", c).sent(t, "http://auth.example.org/"))
}

func provesCookieCrossSite(t *testing.T) {
	const rule = "cookie-cross-site"
	assert.Equal(t, http.SameSiteNoneMode, claimed(t, rule, "session: {cookie: {same_site: None}}", withUsers(alice)).loginCookie().SameSite)
	assert.Equal(t, http.SameSiteLaxMode, mended(t, rule, "session: {cookie: {same_site: Lax}}", withUsers(alice)).loginCookie().SameSite)
}

func provesCookieDomain(t *testing.T) {
	const rule = "cookie-domain"
	c := claimed(t, rule, "session: {cookie: {domain: example.org}}", withUsers(alice)).loginCookie()
	b := given(t, "https://auth.example.org/", c)
	assert.Equal(t, []string{c.Value}, b.sent(t, "https://blog.example.org/"), "every host below gets it")
	b.give(t, "https://blog.example.org/", &http.Cookie{Name: c.Name, Value: "planted", Domain: "example.org", Path: "/"})
	assert.Equal(t, []string{"planted"}, b.sent(t, "https://auth.example.org/"), "and can set one in its place")

	c = mended(t, rule, "session: {cookie: {persistent: true}}", withUsers(alice)).loginCookie()
	assert.Empty(t, given(t, "https://auth.example.org/", c).sent(t, "https://blog.example.org/"))
}

func provesCookiePrefix(t *testing.T) {
	const rule = "cookie-prefix"
	h := claimed(t, rule, "session: {cookie: {name: app}}", withUsers(alice, bob))
	planted := h.loginCookie()
	planted.Domain = "example.org" // a neighbour sets it for all hosts
	b := given(t, "https://blog.example.org/", planted)
	assert.Equal(t, []string{planted.Value}, b.sent(t, "https://auth.example.org/"))
	r := newRequest()
	r.AddCookie(&http.Cookie{Name: "app", Value: b.sent(t, "https://auth.example.org/")[0]})
	s, err := h.pipeline.Sessions().FromRequest(r)
	require.NoError(t, err)
	assert.Equal(t, "alice", s.IdentityID, "whoever uses this browser does so in the session of another")

	// Browsers refuse a cookie of this name that has a Domain, so that no neighbour can set one.
	c := mended(t, rule, "session: {cookie: {persistent: true}}", withUsers(alice)).loginCookie()
	assert.Equal(t, "__Host-session; /; ; true", c.Name+"; "+c.Path+"; "+c.Domain+"; "+map[bool]string{true: "true"}[c.Secure])
}

func provesCookieScope(t *testing.T) {
	const rule = "cookie-scope"
	// A user signs in, the file changes, and the user signs in again where the browser does not send the old cookie.
	signInTwice := func(cookie string) (*host, *browser) {
		h := newHost(t, "session: {cookie: {name: app, path: /whoami}}", withUsers(alice))
		b := h.browser()
		b.post("/login/password", "user", "alice")
		require.Equal(t, "alice", b.who())
		require.NoError(t, h.pipeline.Reload(parse(t, "session: {cookie: {"+cookie+"}}"+secretYAML)))
		b.post("/login/password", "user", "alice")
		return h, b
	}
	h, b := signInTwice("name: app")
	require.True(t, says(h.pipeline, rule))
	assert.Equal(t, "anonymous", b.who(), "the browser sends both")

	h, b = signInTwice("name: app2")
	require.False(t, says(h.pipeline, rule))
	assert.Equal(t, "alice", b.who(), "only the new one counts")
}

func provesPlainRedirect(t *testing.T) {
	const rule = "plain-redirect"
	for _, row := range []struct {
		to    string
		start func(*testing.T, string, string, ...change) *host
		sent  int
	}{{"http://auth.example.org/home", claimed, 0}, {"https://auth.example.org/home", mended, 1}} {
		h := row.start(t, rule, "selfservice: {login: {after: [{hook: redirect, config: {to: '"+row.to+"'}}]}}", withUsers(alice))
		res := h.browser().post("/login/password", "user", "alice")
		require.Equal(t, []string{row.to}, res.Header["Location"])
		assert.Len(t, given(t, "https://auth.example.org/login", res.Cookies()...).sent(t, row.to), row.sent)
	}
}

// accepts says whether a token is good that somebody has made who knows no more than a secret, and the ID of a session.
func (h *host) accepts(secret string) bool {
	s := flowhook.Session{ID: "KNOWNKNOWNKNOWNKNOWNKNOWNK" + newID(), IdentityID: "alice", ExpiresAt: h.clock.Now().Add(time.Hour)}
	require.NoError(h.t, h.store.CreateSession(h.t.Context(), s))
	found, err := h.pipeline.Sessions().FromToken(h.t.Context(), sign(secret, hostSession, "1780000000", s.ID))
	if err != nil {
		require.ErrorIs(h.t, err, flowhook.ErrNoSession)
		return false
	}
	return found.IdentityID == "alice"
}

func provesExampleSecret(t *testing.T) {
	const rule = "example-secret"
	fromTheDocument := "something-super-secret"
	assert.True(t, claimed(t, rule, document(t, "07-session-secrets.yml")).accepts(fromTheDocument))
	assert.False(t, mended(t, rule, "secrets: {session: ["+strong+"]}").accepts(fromTheDocument))
}

// parts gives what is signed in a token, which everybody can read who has it.
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
	guess := func(h *host) (found string) {
		mine := h.loginCookie().Value // whoever signs in has a token to try guesses on, at home
		date, id := parts(t, mine)
		for _, a := range words {
			for _, b := range words {
				for _, c := range words {
					secret := a + "-" + b + "-" + c
					if sign(secret, hostSession, date, id) == mine {
						return secret
					}
				}
			}
		}
		return ""
	}
	h := claimed(t, rule, "secrets: {session: [battery-horse-staple]}", withUsers(alice))
	assert.Equal(t, "battery-horse-staple", guess(h))
	assert.True(t, h.accepts("battery-horse-staple"))
	assert.Empty(t, guess(mended(t, rule, "secrets: {session: ["+strong+"]}", withUsers(alice))))
}

func provesUnusedSecrets(t *testing.T) {
	const rule, inFile = "unused-secrets", "Yk3vWq8ZtB1nLx6RfDs0HgJ5mCpUa9EoTi2N4bKzVw7"
	text := "secrets: {session: [" + inFile + "]}"
	h := claimed(t, rule, text, func(_ *host, o *flowhook.Options) { o.Secrets = []string{strong} })
	assert.False(t, h.accepts(inFile))
	assert.True(t, h.accepts(strong))
	assert.True(t, mended(t, rule, text).accepts(inFile))
}

// returnTo asks where a request goes that names a URL.
func (h *host) returnTo(to string) (string, error) {
	r := newRequest()
	r.URL.RawQuery = url.Values{"return_to": {to}}.Encode()
	return h.pipeline.ReturnURL(r, flowhook.Login, flowhook.Password)
}

func provesReturnScheme(t *testing.T) {
	const rule = "return-scheme"
	h := claimed(t, rule, "selfservice: {allowed_return_urls: ['exp://localhost:8081/app', 'https://example.org/']}")
	_, err := h.returnTo("exp://localhost:8081/app")
	assert.ErrorIs(t, err, flowhook.ErrBadReturnURL)
	to, err := h.returnTo("https://example.org/")
	assert.NoError(t, err, "the others are")
	assert.Equal(t, "https://example.org/", to)
	to, err = mended(t, rule, "selfservice: {allowed_return_urls: ['https://localhost:8081/app']}").returnTo("https://localhost:8081/app")
	assert.NoError(t, err)
	assert.Equal(t, "https://localhost:8081/app", to)
}

func provesOverruled(t *testing.T) {
	const rule = "overruled"
	const newer = "session: {cookie: {same_site: Lax}}\nselfservice: {default_return_to: /new, allowed_return_urls: [/new], " +
		"registration: {after: [{hook: verify}]}, verification: {ui_url: 'https://new.example.org/'}}\n"
	const older = "cookies: {same_site: Strict}\nurls: {default_return_to: /old, whitelisted_return_to_urls: [/old], verify_ui: 'https://old.example.org/'}\n"
	for _, h := range []*host{claimed(t, rule, newer+older, withUsers(alice), noVerificationURL), mended(t, rule, newer, withUsers(alice), noVerificationURL)} {
		to, err := h.returnTo("")
		assert.NoError(t, err)
		assert.Equal(t, "/new", to)
		_, err = h.returnTo("/new")
		assert.NoError(t, err)
		_, err = h.returnTo("/old")
		assert.ErrorIs(t, err, flowhook.ErrBadReturnURL)
		assert.Equal(t, http.SameSiteLaxMode, h.loginCookie().SameSite)
		assert.Equal(t, "new.example.org", h.link().Hostname())
	}
}
