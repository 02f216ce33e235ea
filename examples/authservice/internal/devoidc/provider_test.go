package devoidc_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/flowhook/flowhook/examples/authservice/internal/devoidc"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

func TestAFullLogin(t *testing.T) {
	r := newRig(t)
	for name, style := range map[string]oauth2.AuthStyle{"client_secret_basic": oauth2.AuthStyleInHeader, "client_secret_post": oauth2.AuthStyleInParams} {
		t.Run(name, func(t *testing.T) {
			config := r.config
			config.Endpoint.AuthStyle = style
			state, nonce, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
			page := r.get(config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)))
			q := r.location(r.typeIn(page, alice))
			require.Equal(t, state, q.Get("state"))
			token, err := config.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier))
			require.NoError(t, err)
			id, err := r.verifier.Verify(t.Context(), token.Extra("id_token").(string))
			require.NoError(t, err)
			require.Equal(t, nonce, id.Nonce)
			require.Equal(t, r.p.Issuer(), id.Issuer)
			require.Equal(t, []string{"service"}, []string(id.Audience))
			require.True(t, id.IssuedAt.Equal(r.clock.now()))
			require.True(t, id.Expiry.Equal(r.clock.now().Add(10*time.Minute)))
			var claims struct {
				Email    string
				Verified bool `json:"email_verified"`
				Name     string
			}
			require.NoError(t, id.Claims(&claims))
			require.Equal(t, "Alice@example.org", claims.Email)
			require.True(t, claims.Verified)
			require.Equal(t, "Alice", claims.Name)
			require.NotEmpty(t, token.AccessToken)
			require.Equal(t, "Bearer", token.TokenType)
		})
	}
}

func TestTheClaims(t *testing.T) {
	r := newRig(t)
	sub := r.claims(r.code(alice))["sub"]
	require.NotEmpty(t, sub)

	unverified := r.claims(r.code(url.Values{"name": {"Another"}, "email": {"alice@EXAMPLE.org"}}))
	require.Equal(t, sub, unverified["sub"], "the same address, however it is written")
	require.Equal(t, false, unverified["email_verified"], "the box was not ticked")
	another := newRig(t)
	require.Equal(t, sub, another.claims(another.code(alice))["sub"], "another provider, the same address")

	require.NotEqual(t, sub, r.claims(r.code(url.Values{"name": {"Alice"}, "email": {"bob@example.org"}}))["sub"])

	only := r.claims(r.code(alice, oauth2.SetAuthURLParam("scope", "openid")))
	for _, claim := range []string{"email", "email_verified", "name"} {
		require.NotContains(t, only, claim, "its scope was not asked for")
	}
}

func TestTheLoginPage(t *testing.T) {
	r := newRig(t)
	ask := r.config.AuthCodeURL(`"><script>alert(1)</script>`, oidc.Nonce("<b>"), oauth2.S256ChallengeOption(pkce), oauth2.SetAuthURLParam("login_hint", `"><b>@example.org`))
	a := r.get(ask)
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.NotContains(t, a.body, "<script")
	require.NotContains(t, a.body, "<b>")
	for _, want := range []string{`<html lang="en">`, `<label for="name">`, `id="name"`, `<label for="email">`, `id="email"`, `value="yes" checked>`, "for development only", `name="viewport"`} {
		require.Contains(t, a.body, want)
	}
	policy := a.Header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; style-src 'sha256-")
	require.True(t, strings.HasSuffix(policy, "form-action 'self' http://127.0.0.1:8080"), policy)
	require.NotContains(t, policy, "unsafe")
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	q := r.location(r.typeIn(a, alice))
	require.Equal(t, `"><script>alert(1)</script>`, q.Get("state"), "it comes back as it was")

	for name, c := range map[string]struct {
		typed url.Values
		want  string
	}{
		"no name":         {url.Values{"name": {" "}, "email": {"alice@example.org"}}, "Please enter a name"},
		"a long name":     {url.Values{"name": {strings.Repeat("x", 101)}, "email": {"alice@example.org"}}, "Please enter a name"},
		"a broken name":   {url.Values{"name": {"a\x00"}, "email": {"alice@example.org"}}, "Please enter a name"},
		"no address":      {url.Values{"name": {"<b>"}, "email": {""}}, "Please enter an email address"},
		"a wrong address": {url.Values{"name": {"<b>"}, "email": {"Alice <alice@example.org>"}}, "Please enter an email address"},
		"a long address":  {url.Values{"name": {"<b>"}, "email": {strings.Repeat("x", 250) + "@example.org"}}, "Please enter an email address"},
	} {
		t.Run(name, func(t *testing.T) {
			again := r.typeIn(a, c.typed)
			require.Equal(t, http.StatusUnprocessableEntity, again.StatusCode)
			require.Contains(t, again.body, c.want)
			require.Contains(t, again.body, `aria-invalid="true" aria-describedby=`)
			require.NotContains(t, again.body, "<b>")
			require.NotContains(t, again.body, `value="yes" checked`, "the box stays as it was left")
			again.StatusCode = http.StatusOK
			r.location(r.typeIn(again, alice)) // and from there it goes on
		})
	}

	q = r.location(r.typeIn(a, url.Values{"answer": {"cancel"}}))
	require.Equal(t, "access_denied", q.Get("error"))
	require.Empty(t, q.Get("code"))

	for path, status := range map[string]int{"/": 200, "/x": 404, "/token": 405} {
		require.Equal(t, status, r.get(r.p.Issuer()+path).StatusCode, path)
	}
}

// Whatever is wrong with the client or the address, the browser is sent nowhere.
func TestNobodyIsSentElsewhere(t *testing.T) {
	r := newRig(t)
	good, err := url.Parse(r.config.AuthCodeURL("s", oauth2.S256ChallengeOption(pkce)))
	require.NoError(t, err)
	for name, change := range map[string]func(q url.Values){
		"an unknown client":           func(q url.Values) { q.Set("client_id", "another") },
		"no client":                   func(q url.Values) { q.Del("client_id") },
		"two clients":                 func(q url.Values) { q.Add("client_id", "service") },
		"another address":             func(q url.Values) { q.Set("redirect_uri", "http://evil.example/") },
		"no address":                  func(q url.Values) { q.Del("redirect_uri") },
		"two addresses":               func(q url.Values) { q.Add("redirect_uri", "http://evil.example/") },
		"a longer address":            func(q url.Values) { q.Set("redirect_uri", r.callback+"/x") },
		"a query more":                func(q url.Values) { q.Set("redirect_uri", r.callback+"?x") },
		"a slash more":                func(q url.Values) { q.Set("redirect_uri", r.callback+"/") },
		"another case":                func(q url.Values) { q.Set("redirect_uri", strings.Replace(r.callback, "http", "HTTP", 1)) },
		"another port":                func(q url.Values) { q.Set("redirect_uri", strings.Replace(r.callback, "8080", "8081", 1)) },
		"another host":                func(q url.Values) { q.Set("redirect_uri", strings.Replace(r.callback, "127.0.0.1", "localhost", 1)) },
		"a user":                      func(q url.Values) { q.Set("redirect_uri", strings.Replace(r.callback, "//", "//evil@", 1)) },
		"a parameter twice":           func(q url.Values) { q.Add("state", "another") },
		"a wrong client, and no PKCE": func(q url.Values) { q.Set("client_id", "x"); q.Del("code_challenge") },
	} {
		t.Run(name, func(t *testing.T) {
			q := good.Query()
			change(q)
			for _, a := range []answer{
				r.get(r.p.Issuer() + "/authorize?" + q.Encode()),
				r.post("/authorize", merge(q, alice)),
				r.post("/authorize", merge(q, url.Values{"answer": {"cancel"}})),
			} {
				require.Equal(t, http.StatusBadRequest, a.StatusCode)
				require.Empty(t, a.Header.Get("Location"))
				require.Contains(t, a.body, "for development only")
				require.NotContains(t, a.body, "<form")
				require.NotContains(t, a.body, "evil")
			}
		})
	}
}

func merge(a, b url.Values) url.Values {
	all := url.Values{}
	for _, v := range []url.Values{a, b} {
		for name, values := range v {
			all[name] = values
		}
	}
	return all
}

// What else is wrong is told to the client.
func TestWhatTheClientIsTold(t *testing.T) {
	r := newRig(t)
	good, err := url.Parse(r.config.AuthCodeURL("s", oauth2.S256ChallengeOption(pkce)))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(q url.Values)
		want   string
	}{
		"no PKCE":           {func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request"},
		"no challenge":      {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"a short challenge": {func(q url.Values) { q.Set("code_challenge", "x") }, "invalid_request"},
		"plain PKCE":        {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"no method":         {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
		"another flow":      {func(q url.Values) { q.Set("response_type", "id_token") }, "unsupported_response_type"},
		"no flow":           {func(q url.Values) { q.Del("response_type") }, "unsupported_response_type"},
		"in the fragment":   {func(q url.Values) { q.Set("response_mode", "fragment") }, "invalid_request"},
		"no openid":         {func(q url.Values) { q.Set("scope", "email profile") }, "invalid_scope"},
		"without the user":  {func(q url.Values) { q.Set("prompt", "none") }, "login_required"},
		"a request object":  {func(q url.Values) { q.Set("request", "x") }, "request_not_supported"},
	} {
		t.Run(name, func(t *testing.T) {
			q := good.Query()
			c.change(q)
			for _, a := range []answer{r.get(r.p.Issuer() + "/authorize?" + q.Encode()), r.post("/authorize", merge(q, alice))} {
				told := r.location(a)
				require.Equal(t, c.want, told.Get("error"))
				require.Equal(t, "s", told.Get("state"))
				require.Empty(t, told.Get("code"))
			}
		})
	}
}

func TestWhatGetsNoToken(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		change func(f url.Values, h *http.Request)
		status int
		want   string
	}{
		"no client":         {func(_ url.Values, h *http.Request) { h.Header.Del("Authorization") }, 401, "invalid_client"},
		"an unknown client": {func(_ url.Values, h *http.Request) { h.SetBasicAuth("x", url.QueryEscape(secret)) }, 401, "invalid_client"},
		"a wrong secret":    {func(_ url.Values, h *http.Request) { h.SetBasicAuth("service", "x") }, 401, "invalid_client"},
		"no secret":         {func(f url.Values, h *http.Request) { h.Header.Del("Authorization"); f.Set("client_id", "service") }, 401, "invalid_client"},
		"a wrong posted secret": {func(f url.Values, h *http.Request) {
			h.Header.Del("Authorization")
			f.Set("client_id", "service")
			f.Set("client_secret", "x")
		}, 401, "invalid_client"},
		"both ways at once":    {func(f url.Values, _ *http.Request) { f.Set("client_id", "service"); f.Set("client_secret", secret) }, 401, "invalid_client"},
		"another posted ID":    {func(f url.Values, _ *http.Request) { f.Set("client_id", "x") }, 401, "invalid_client"},
		"another grant":        {func(f url.Values, _ *http.Request) { f.Set("grant_type", "client_credentials") }, 400, "unsupported_grant_type"},
		"an unknown code":      {func(f url.Values, _ *http.Request) { f.Set("code", "x") }, 400, "invalid_grant"},
		"no code":              {func(f url.Values, _ *http.Request) { f.Del("code") }, 400, "invalid_grant"},
		"two codes":            {func(f url.Values, _ *http.Request) { f.Add("code", "x") }, 400, "invalid_request"},
		"another redirect URI": {func(f url.Values, _ *http.Request) { f.Set("redirect_uri", r.callback+"/") }, 400, "invalid_grant"},
		"no redirect URI":      {func(f url.Values, _ *http.Request) { f.Del("redirect_uri") }, 400, "invalid_grant"},
		"no verifier":          {func(f url.Values, _ *http.Request) { f.Del("code_verifier") }, 400, "invalid_grant"},
		"a wrong verifier":     {func(f url.Values, _ *http.Request) { f.Set("code_verifier", strings.Repeat("x", 43)) }, 400, "invalid_grant"},
		"the challenge itself": {func(f url.Values, _ *http.Request) { f.Set("code_verifier", oauth2.S256ChallengeFromVerifier(pkce)) }, 400, "invalid_grant"},
		"a code that is late":  {func(url.Values, *http.Request) { r.clock.move(time.Minute) }, 400, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			code := r.code(alice)
			status, told := r.exchange(code, c.change)
			require.Equal(t, c.status, status)
			require.Equal(t, c.want, told["error"])
			require.NotContains(t, told, "id_token")
			require.NotContains(t, fmt.Sprint(told), "s3cr3t")
		})
	}
	code := r.code(alice)
	r.clock.move(time.Minute - time.Second)
	status, _ := r.exchange(code, nil)
	require.Equal(t, http.StatusOK, status, "as it should be, and just in time")

	code = r.code(alice)
	status, _ = r.exchange(code, func(f url.Values, _ *http.Request) { f.Set("code_verifier", strings.Repeat("x", 43)) })
	require.Equal(t, http.StatusBadRequest, status)
	status, _ = r.exchange(code, nil)
	require.Equal(t, http.StatusBadRequest, status, "a code is tried once")
}

func TestACodeIsUsedOnce(t *testing.T) {
	r := newRig(t)
	for range 20 {
		code := r.code(alice)
		var good atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if status, _ := r.exchange(code, nil); status == http.StatusOK {
					good.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, good.Load())
	}
	t.Log("20 codes, each presented 8 times at once: one ID token each")
}

func TestCodesAreBounded(t *testing.T) {
	r := newRig(t)
	page := r.get(r.config.AuthCodeURL("s", oauth2.S256ChallengeOption(pkce)))
	for range 1005 {
		r.location(r.typeIn(page, alice))
	}
	status, _ := r.exchange(r.code(alice), nil)
	require.Equal(t, http.StatusOK, status, "the newest is always good")
}

func TestOtherSitesAndNames(t *testing.T) {
	r := newRig(t)
	form := url.Values{}
	request, err := http.NewRequest("POST", r.p.Issuer()+"/authorize", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, r.do(request, nil).StatusCode, "a form of another site's")

	request, err = http.NewRequest("GET", r.p.Issuer()+"/", nil)
	require.NoError(t, err)
	request.Host = "rebound.example"
	require.Equal(t, http.StatusMisdirectedRequest, r.do(request, nil).StatusCode)

	big := r.post("/authorize", url.Values{"name": {strings.Repeat("x", 70<<10)}})
	require.Equal(t, http.StatusBadRequest, big.StatusCode)
}

func TestItListensOnLoopbackOnly(t *testing.T) {
	r := newRig(t)
	host, port, err := net.SplitHostPort(strings.TrimPrefix(r.p.Issuer(), "http://"))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", host)
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.String() != "127.0.0.1" && !ip.IP.IsLinkLocalUnicast() {
			_, err := net.DialTimeout("tcp", net.JoinHostPort(ip.IP.String(), port), time.Second)
			require.Error(t, err, ip)
		}
	}
}

func TestStart(t *testing.T) {
	good := devoidc.Options{ClientID: "a", ClientSecret: "hunter2", RedirectURI: "http://127.0.0.1/cb?a=b"}
	for name, change := range map[string]func(o *devoidc.Options){
		"no client":      func(o *devoidc.Options) { o.ClientID = "" },
		"no secret":      func(o *devoidc.Options) { o.ClientSecret = "" },
		"no address":     func(o *devoidc.Options) { o.RedirectURI = "" },
		"a path":         func(o *devoidc.Options) { o.RedirectURI = "/callback" },
		"a fragment":     func(o *devoidc.Options) { o.RedirectURI += "#x" },
		"another scheme": func(o *devoidc.Options) { o.RedirectURI = "javascript://x/" },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := devoidc.Start(o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	p, err := devoidc.Start(good)
	require.NoError(t, err)
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	sent, err := stay.Get(p.Issuer() + "/authorize?client_id=a&redirect_uri=" + url.QueryEscape(good.RedirectURI))
	require.NoError(t, err)
	sent.Body.Close()
	require.True(t, strings.HasPrefix(sent.Header.Get("Location"), good.RedirectURI+"&error="), "the address keeps its query")

	response, err := http.Get(p.Issuer())
	require.NoError(t, err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	require.NoError(t, p.Close())
	_, err = http.Get(p.Issuer())
	require.Error(t, err)
}
