package idp_test

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/flowhook/flowhook/examples/dev/idp"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

const secret = "s3cr3t with & and %"

// A clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A rig is a provider, a client from go-oidc, and a browser that follows no redirects.
type rig struct {
	t        *testing.T
	p        *idp.Provider
	clock    *clock
	callback string
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
	browser  *http.Client
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, clock: &clock{t: time.Now().Truncate(time.Second)},
		callback: "http://127.0.0.1:8080/login/oidc/callback"}
	var err error
	r.p, err = idp.Start(idp.Options{ClientID: "service", ClientSecret: secret, RedirectURI: r.callback,
		Logger: slog.New(slog.DiscardHandler), Now: r.clock.now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.p.Close()) })
	found, err := oidc.NewProvider(t.Context(), r.p.Issuer())
	require.NoError(t, err)
	r.config = oauth2.Config{ClientID: "service", ClientSecret: secret, Endpoint: found.Endpoint(),
		RedirectURL: r.callback, Scopes: []string{"openid", "email", "profile"}}
	r.config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	r.verifier = found.Verifier(&oidc.Config{ClientID: "service", Now: r.clock.now})
	r.browser = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return r
}

// An answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

func (r *rig) do(request *http.Request, err error) answer {
	r.t.Helper()
	require.NoError(r.t, err)
	response, err := r.browser.Do(request)
	require.NoError(r.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	require.Empty(r.t, response.Header["Set-Cookie"], "the provider must not set cookies")
	return answer{response, string(body)}
}

func (r *rig) get(url string) answer {
	r.t.Helper()
	return r.do(http.NewRequest("GET", url, nil))
}

func (r *rig) post(path string, form url.Values) answer {
	r.t.Helper()
	request, err := http.NewRequest("POST", r.p.Issuer()+path, strings.NewReader(form.Encode()))
	require.NoError(r.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return r.do(request, nil)
}

// location checks that the answer redirects to the client, and returns the query.
func (r *rig) location(a answer) url.Values {
	r.t.Helper()
	require.Equal(r.t, http.StatusSeeOther, a.StatusCode, a.body)
	to, query, _ := strings.Cut(a.Header.Get("Location"), "?")
	require.Equal(r.t, r.callback, to)
	q, err := url.ParseQuery(query)
	require.NoError(r.t, err)
	require.Equal(r.t, r.p.Issuer(), q.Get("iss"))
	return q
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// typeIn submits the form of a login page.
func (r *rig) typeIn(a answer, more url.Values) answer {
	r.t.Helper()
	require.Equal(r.t, http.StatusOK, a.StatusCode, a.body)
	require.Contains(r.t, a.body, `<form method="post" action="/authorize">`)
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(a.body, -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	for name, values := range more {
		form[name] = values
	}
	return r.post("/authorize", form)
}

var alice = url.Values{"name": {"Alice"}, "email": {"Alice@example.org"}, "verified": {"yes"}, "answer": {"login"}}

const pkce = "0123456789012345678901234567890123456789abc-._~"

// code signs in and returns the code.
func (r *rig) code(more url.Values, options ...oauth2.AuthCodeOption) string {
	r.t.Helper()
	options = append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(pkce), oidc.Nonce("n-1")}, options...)
	q := r.location(r.typeIn(r.get(r.config.AuthCodeURL("s-1", options...)), more))
	require.Equal(r.t, "s-1", q.Get("state"))
	require.NotEmpty(r.t, q.Get("code"))
	return q.Get("code")
}

// exchange requests a token. change may modify the request.
func (r *rig) exchange(code string, change func(f url.Values, h *http.Request)) (int, map[string]any) {
	r.t.Helper()
	f := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {r.callback},
		"code_verifier": {pkce}}
	request, err := http.NewRequest("POST", r.p.Issuer()+"/token", nil)
	require.NoError(r.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("service", url.QueryEscape(secret))
	if change != nil {
		change(f, request)
	}
	request.Body = io.NopCloser(strings.NewReader(f.Encode()))
	a := r.do(request, nil)
	require.Equal(r.t, "no-store", a.Header.Get("Cache-Control"))
	var v map[string]any
	require.NoError(r.t, json.Unmarshal([]byte(a.body), &v), a.body)
	return a.StatusCode, v
}

func (r *rig) claims(code string) map[string]any {
	r.t.Helper()
	token, err := r.config.Exchange(context.Background(), code, oauth2.VerifierOption(pkce))
	require.NoError(r.t, err)
	id, err := r.verifier.Verify(r.t.Context(), token.Extra("id_token").(string))
	require.NoError(r.t, err)
	var claims map[string]any
	require.NoError(r.t, id.Claims(&claims))
	return claims
}
