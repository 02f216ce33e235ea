package idp_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/flowhook/flowhook/examples/dev/idp"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

func TestLogin(t *testing.T) {
	r := newRig(t)
	for name, style := range map[string]oauth2.AuthStyle{"client_secret_basic": oauth2.AuthStyleInHeader,
		"client_secret_post": oauth2.AuthStyleInParams} {
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

func TestCrossOrigin(t *testing.T) {
	r := newRig(t)
	form := url.Values{}
	request, err := http.NewRequest("POST", r.p.Issuer()+"/authorize", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, r.do(request, nil).StatusCode, "a form of another site")

	request, err = http.NewRequest("GET", r.p.Issuer()+"/", nil)
	require.NoError(t, err)
	request.Host = "rebound.example"
	require.Equal(t, http.StatusMisdirectedRequest, r.do(request, nil).StatusCode)

	big := r.post("/authorize", url.Values{"name": {strings.Repeat("x", 70<<10)}})
	require.Equal(t, http.StatusBadRequest, big.StatusCode)
}

func TestStart_ListensOnLoopback(t *testing.T) {
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
	good := idp.Options{ClientID: "a", ClientSecret: "hunter2", RedirectURI: "http://127.0.0.1/cb?a=b"}
	for name, change := range map[string]func(o *idp.Options){
		"no client":    func(o *idp.Options) { o.ClientID = "" },
		"no secret":    func(o *idp.Options) { o.ClientSecret = "" },
		"no address":   func(o *idp.Options) { o.RedirectURI = "" },
		"path":         func(o *idp.Options) { o.RedirectURI = "/callback" },
		"fragment":     func(o *idp.Options) { o.RedirectURI += "#x" },
		"other scheme": func(o *idp.Options) { o.RedirectURI = "javascript://x/" },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := idp.Start(o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	p, err := idp.Start(good)
	require.NoError(t, err)
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	sent, err := stay.Get(p.Issuer() + "/authorize?client_id=a&redirect_uri=" + url.QueryEscape(good.RedirectURI))
	require.NoError(t, err)
	sent.Body.Close()
	require.True(t, strings.HasPrefix(sent.Header.Get("Location"), good.RedirectURI+"&error="),
		"the redirect URI must keep its query")

	response, err := http.Get(p.Issuer())
	require.NoError(t, err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	require.NoError(t, p.Close())
	_, err = http.Get(p.Issuer())
	require.Error(t, err)
}
