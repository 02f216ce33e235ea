package idp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

func TestLoginPage(t *testing.T) {
	r := newRig(t)
	ask := r.config.AuthCodeURL(`"><script>alert(1)</script>`, oidc.Nonce("<b>"), oauth2.S256ChallengeOption(pkce),
		oauth2.SetAuthURLParam("login_hint", `"><b>@example.org`))
	a := r.get(ask)
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.NotContains(t, a.body, "<script")
	require.NotContains(t, a.body, "<b>")
	for _, want := range []string{`<html lang="en">`, `<label for="name">`, `id="name"`, `<label for="email">`,
		`id="email"`, `value="yes" checked>`, "for development only", `name="viewport"`} {
		require.Contains(t, a.body, want)
	}
	policy := a.Header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; style-src 'sha256-")
	require.True(t, strings.HasSuffix(policy, "form-action 'self' http://127.0.0.1:8080"), policy)
	require.NotContains(t, policy, "unsafe")
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	q := r.location(r.typeIn(a, alice))
	require.Equal(t, `"><script>alert(1)</script>`, q.Get("state"), "the state must be unchanged")

	for name, c := range map[string]struct {
		typed url.Values
		want  string
	}{
		"no name": {url.Values{"name": {" "}, "email": {"alice@example.org"}}, "Enter a name."},
		"long name": {url.Values{"name": {strings.Repeat("x", 101)}, "email": {"alice@example.org"}},
			"Use at most 100 printable characters."},
		"broken name": {url.Values{"name": {"a\x00"}, "email": {"alice@example.org"}},
			"Use at most 100 printable characters."},
		"no address": {url.Values{"name": {"<b>"}, "email": {""}}, "Enter an email address"},
		"wrong address": {url.Values{"name": {"<b>"}, "email": {"Alice <alice@example.org>"}},
			"Enter an email address"},
		"long address": {url.Values{"name": {"<b>"}, "email": {strings.Repeat("x", 250) + "@example.org"}},
			"Enter an email address"},
	} {
		t.Run(name, func(t *testing.T) {
			again := r.typeIn(a, c.typed)
			require.Equal(t, http.StatusUnprocessableEntity, again.StatusCode)
			require.Contains(t, again.body, c.want)
			require.Contains(t, again.body, `aria-invalid="true" aria-describedby=`)
			require.NotContains(t, again.body, "<b>")
			require.NotContains(t, again.body, `value="yes" checked`, "the box must stay unchecked")
			again.StatusCode = http.StatusOK
			r.location(r.typeIn(again, alice)) // the form works again
		})
	}

	q = r.location(r.typeIn(a, url.Values{"answer": {"cancel"}}))
	require.Equal(t, "access_denied", q.Get("error"))
	require.Empty(t, q.Get("code"))

	for path, status := range map[string]int{"/": 200, "/x": 404, "/token": 405} {
		require.Equal(t, status, r.get(r.p.Issuer()+path).StatusCode, path)
	}
}

// TestAuthorize_NoRedirect checks that the browser is not redirected if the client or the redirect
// URI is wrong.
func TestAuthorize_NoRedirect(t *testing.T) {
	r := newRig(t)
	good, err := url.Parse(r.config.AuthCodeURL("s", oauth2.S256ChallengeOption(pkce)))
	require.NoError(t, err)
	for name, change := range map[string]func(q url.Values){
		"unknown client": func(q url.Values) { q.Set("client_id", "another") },
		"no client":      func(q url.Values) { q.Del("client_id") },
		"two clients":    func(q url.Values) { q.Add("client_id", "service") },
		"other address":  func(q url.Values) { q.Set("redirect_uri", "http://evil.example/") },
		"no address":     func(q url.Values) { q.Del("redirect_uri") },
		"two addresses":  func(q url.Values) { q.Add("redirect_uri", "http://evil.example/") },
		"longer address": func(q url.Values) { q.Set("redirect_uri", r.callback+"/x") },
		"added query":    func(q url.Values) { q.Set("redirect_uri", r.callback+"?x") },
		"added slash":    func(q url.Values) { q.Set("redirect_uri", r.callback+"/") },
		"other case": func(q url.Values) {
			q.Set("redirect_uri", strings.Replace(r.callback, "http",
				"HTTP", 1))
		},
		"other port": func(q url.Values) {
			q.Set("redirect_uri", strings.Replace(r.callback, "8080",
				"8081", 1))
		},
		"other host": func(q url.Values) {
			q.Set("redirect_uri",
				strings.Replace(r.callback, "127.0.0.1", "localhost", 1))
		},
		"user": func(q url.Values) {
			q.Set("redirect_uri",
				strings.Replace(r.callback, "//", "//evil@", 1))
		},
		"parameter twice":           func(q url.Values) { q.Add("state", "another") },
		"wrong client, and no PKCE": func(q url.Values) { q.Set("client_id", "x"); q.Del("code_challenge") },
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

// TestAuthorize_Errors checks the errors that are reported to the client.
func TestAuthorize_Errors(t *testing.T) {
	r := newRig(t)
	good, err := url.Parse(r.config.AuthCodeURL("s", oauth2.S256ChallengeOption(pkce)))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(q url.Values)
		want   string
	}{
		"no PKCE": {func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") },
			"invalid_request"},
		"no challenge":     {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"short challenge":  {func(q url.Values) { q.Set("code_challenge", "x") }, "invalid_request"},
		"plain PKCE":       {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"no method":        {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
		"other flow":       {func(q url.Values) { q.Set("response_type", "id_token") }, "unsupported_response_type"},
		"no flow":          {func(q url.Values) { q.Del("response_type") }, "unsupported_response_type"},
		"in the fragment":  {func(q url.Values) { q.Set("response_mode", "fragment") }, "invalid_request"},
		"no openid":        {func(q url.Values) { q.Set("scope", "email profile") }, "invalid_scope"},
		"without the user": {func(q url.Values) { q.Set("prompt", "none") }, "login_required"},
		"request object":   {func(q url.Values) { q.Set("request", "x") }, "request_not_supported"},
	} {
		t.Run(name, func(t *testing.T) {
			q := good.Query()
			c.change(q)
			for _, a := range []answer{r.get(r.p.Issuer() + "/authorize?" + q.Encode()),
				r.post("/authorize", merge(q, alice))} {
				got := r.location(a)
				require.Equal(t, c.want, got.Get("error"))
				require.Equal(t, "s", got.Get("state"))
				require.Empty(t, got.Get("code"))
			}
		})
	}
}
