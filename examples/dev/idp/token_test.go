package idp_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

func TestClaims(t *testing.T) {
	r := newRig(t)
	sub := r.claims(r.code(alice))["sub"]
	require.NotEmpty(t, sub)

	unverified := r.claims(r.code(url.Values{"name": {"Another"}, "email": {"alice@EXAMPLE.org"}}))
	require.Equal(t, sub, unverified["sub"], "the case of the address does not matter")
	require.Equal(t, false, unverified["email_verified"], "the box was not checked")
	another := newRig(t)
	require.Equal(t, sub, another.claims(another.code(alice))["sub"], "the subject depends only on the address")

	require.NotEqual(t, sub, r.claims(r.code(url.Values{"name": {"Alice"}, "email": {"bob@example.org"}}))["sub"])

	only := r.claims(r.code(alice, oauth2.SetAuthURLParam("scope", "openid")))
	for _, claim := range []string{"email", "email_verified", "name"} {
		require.NotContains(t, only, claim, "its scope was not requested")
	}
}

func TestToken_Errors(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		change func(f url.Values, h *http.Request)
		status int
		want   string
	}{
		"no client": {func(_ url.Values, h *http.Request) { h.Header.Del("Authorization") }, 401,
			"invalid_client"},
		"unknown client": {func(_ url.Values, h *http.Request) { h.SetBasicAuth("x", url.QueryEscape(secret)) },
			401, "invalid_client"},
		"wrong secret": {func(_ url.Values, h *http.Request) { h.SetBasicAuth("service", "x") }, 401,
			"invalid_client"},
		"no secret": {func(f url.Values, h *http.Request) {
			h.Header.Del("Authorization")
			f.Set("client_id",
				"service")
		}, 401, "invalid_client"},
		"wrong posted secret": {func(f url.Values, h *http.Request) {
			h.Header.Del("Authorization")
			f.Set("client_id", "service")
			f.Set("client_secret", "x")
		}, 401, "invalid_client"},
		"both methods": {func(f url.Values, _ *http.Request) {
			f.Set("client_id",
				"service")
			f.Set("client_secret", secret)
		}, 401, "invalid_client"},
		"other posted ID": {func(f url.Values, _ *http.Request) { f.Set("client_id", "x") }, 401,
			"invalid_client"},
		"other grant": {func(f url.Values, _ *http.Request) { f.Set("grant_type", "client_credentials") },
			400, "unsupported_grant_type"},
		"unknown code": {func(f url.Values, _ *http.Request) { f.Set("code", "x") }, 400, "invalid_grant"},
		"no code":      {func(f url.Values, _ *http.Request) { f.Del("code") }, 400, "invalid_grant"},
		"two codes":    {func(f url.Values, _ *http.Request) { f.Add("code", "x") }, 400, "invalid_request"},
		"other redirect URI": {func(f url.Values, _ *http.Request) { f.Set("redirect_uri", r.callback+"/") }, 400,
			"invalid_grant"},
		"no redirect URI": {func(f url.Values, _ *http.Request) { f.Del("redirect_uri") }, 400, "invalid_grant"},
		"no verifier":     {func(f url.Values, _ *http.Request) { f.Del("code_verifier") }, 400, "invalid_grant"},
		"wrong verifier": {func(f url.Values, _ *http.Request) {
			f.Set("code_verifier",
				strings.Repeat("x", 43))
		}, 400, "invalid_grant"},
		"challenge itself": {func(f url.Values, _ *http.Request) {
			f.Set("code_verifier",
				oauth2.S256ChallengeFromVerifier(pkce))
		}, 400, "invalid_grant"},
		"expired code": {func(url.Values, *http.Request) { r.clock.move(time.Minute) }, 400, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			code := r.code(alice)
			status, got := r.exchange(code, c.change)
			require.Equal(t, c.status, status)
			require.Equal(t, c.want, got["error"])
			require.NotContains(t, got, "id_token")
			require.NotContains(t, fmt.Sprint(got), "s3cr3t")
		})
	}
	code := r.code(alice)
	r.clock.move(time.Minute - time.Second)
	status, _ := r.exchange(code, nil)
	require.Equal(t, http.StatusOK, status, "a valid request, just in time")

	code = r.code(alice)
	status, _ = r.exchange(code, func(f url.Values, _ *http.Request) {
		f.Set("code_verifier",
			strings.Repeat("x", 43))
	})
	require.Equal(t, http.StatusBadRequest, status)
	status, _ = r.exchange(code, nil)
	require.Equal(t, http.StatusBadRequest, status, "a code can be tried only once")
}

func TestToken_CodeWorksOnce(t *testing.T) {
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
	t.Log("20 codes, each sent 8 times at once: one ID token each")
}

func TestToken_CodesAreBounded(t *testing.T) {
	r := newRig(t)
	page := r.get(r.config.AuthCodeURL("s", oauth2.S256ChallengeOption(pkce)))
	for range 1005 {
		r.location(r.typeIn(page, alice))
	}
	status, _ := r.exchange(r.code(alice), nil)
	require.Equal(t, http.StatusOK, status, "the newest code must work")
}
