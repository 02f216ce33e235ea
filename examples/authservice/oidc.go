package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gorilla/securecookie"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// A provider is where users may sign in instead. It is looked for when somebody first does, not before: it may be away
// while this service starts.
type provider struct {
	issuer string // where it is
	key    string // how identities name it; the issuer, but for the development provider
	config oauth2.Config
	codec  securecookie.Codec
	client *http.Client

	now func() time.Time

	looking singleflight.Group // look runs once at a time, for all who wait; what follows is its own
	found   *oidc.Provider     // nil: not yet
	failed  error              // what came of the last look, while found is nil
	asked   time.Time          // when that was
}

// askAgain is how long the provider is taken for away after a look for it has failed.
const askAgain = 5 * time.Second

// developmentKey stands for the development provider, whose address changes with each start.
const developmentKey = "development"

// newProvider signs and encrypts its cookie with keys, 96 bytes that all copies have: any of them may take the callback.
func newProvider(c config, key string, keys []byte) *provider {
	return &provider{issuer: c.OIDCIssuer, key: key, now: time.Now, client: &http.Client{Timeout: 10 * time.Second}, config: oauth2.Config{
		ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret,
		RedirectURL: c.PublicURL + callbackPath, Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}, codec: securecookie.New(keys[:64], keys[64:]).MaxAge(int(attemptLifetime / time.Second)).SetSerializer(securecookie.JSONEncoder{})}
}

// name is for "Sign in with ..."; empty where there is no provider.
func (p *provider) name() string {
	if p == nil {
		return ""
	}
	if u, err := url.Parse(p.issuer); err == nil && p.key != developmentKey {
		return u.Host
	}
	return "the test provider"
}

// discover gives the provider, and looks for it where that has not worked yet. Nobody waits for it longer than ctx lasts.
func (p *provider) discover(ctx context.Context) (*oidc.Provider, oauth2.Config, error) {
	var looked singleflight.Result
	select {
	case looked = <-p.looking.DoChan("", func() (any, error) { return p.look() }):
	case <-ctx.Done():
		looked.Err = ctx.Err()
	}
	if looked.Err != nil {
		return nil, oauth2.Config{}, fmt.Errorf("looking for the OpenID provider: %w", looked.Err)
	}
	found, c := looked.Val.(*oidc.Provider), p.config
	c.Endpoint = found.Endpoint()
	c.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // known, so not found out by trying, which uses the code up
	return found, c, nil
}

// look gives what is known, or asks.
func (p *provider) look() (*oidc.Provider, error) {
	if p.found == nil && (p.failed == nil || !p.now().Before(p.asked.Add(askAgain))) {
		// The context lives on in the provider, which fetches its keys with it, so it is no request's. The client has a limit.
		p.found, p.failed = oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.issuer)
		p.asked = p.now()
	}
	return p.found, p.failed
}

// claims are what the provider says of a user.
type claims struct {
	Subject  string
	Email    string `json:"email"`
	Verified bool   `json:"email_verified"`
	Name     string `json:"name"`
	Nonce    string `json:"nonce"`
}

// An attempt is what ties a callback to the browser that was sent away. It is in a cookie, encrypted, which the browser drops at
// the callback. Who has kept a copy can send it again while it is good; but what comes with it is the provider's code, which
// the provider takes once.
type attempt struct {
	State, Nonce, Verifier string
}

const (
	callbackPath    = "/login/oidc/callback"
	attemptCookie   = "__Host-oidc"
	attemptLifetime = 10 * time.Minute
)

func (p *provider) begin(w http.ResponseWriter) (attempt, error) {
	a := attempt{rand.Text(), rand.Text(), oauth2.GenerateVerifier()}
	value, err := p.codec.Encode(attemptCookie, a)
	if err != nil {
		return attempt{}, fmt.Errorf("encrypting the OIDC cookie: %w", err)
	}
	p.setCookie(w, value, int(attemptLifetime/time.Second))
	return a, nil
}

// setCookie is SameSite=Lax: the provider's redirect back comes from another site, and Strict would keep the cookie from it.
func (p *provider) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: attemptCookie, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// errAttempt says that a callback belongs to no attempt of this browser: it is a replay, or somebody else's link, or late.
var errAttempt = &refusal{"", "bad_attempt", "This sign-in was not begun here, or it took too long. Please begin again."}

// errProvider says that the provider has refused, or the user there.
var errProvider = &refusal{"", "refused_by_provider", "The provider did not sign you in. Please try again."}

// finish takes the callback and gives what the provider says. Whatever comes of it, the browser drops the attempt's cookie.
func (p *provider) finish(w http.ResponseWriter, r *http.Request) (claims, error) {
	p.setCookie(w, "", -1)
	var a attempt
	cookies, query := r.CookiesNamed(attemptCookie), r.URL.Query()
	if len(cookies) != 1 || p.codec.Decode(attemptCookie, cookies[0].Value, &a) != nil ||
		a.State == "" || subtle.ConstantTimeCompare([]byte(a.State), []byte(query.Get("state"))) == 0 {
		return claims{}, errAttempt
	}
	if query.Has("iss") && query.Get("iss") != p.issuer { // RFC 9207
		return claims{}, errAttempt
	}
	if query.Get("error") != "" || query.Get("code") == "" {
		return claims{}, errProvider
	}
	found, config, err := p.discover(r.Context())
	if err != nil {
		return claims{}, err
	}

	ctx := oidc.ClientContext(r.Context(), p.client)
	token, err := config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(a.Verifier))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500 {
		return claims{}, fmt.Errorf("%w: the code was not taken (%q)", errProvider, refused.ErrorCode)
	}
	if err != nil {
		return claims{}, errors.New("the OpenID provider did not answer for the code") // err's text may quote it
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return claims{}, fmt.Errorf("%w: the ID token is not good", errProvider)
	}
	c := claims{}
	if err := id.Claims(&c); err != nil || id.Subject == "" || len(id.Subject) > 255 ||
		subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) == 0 {
		return claims{}, fmt.Errorf("%w: the ID token is not for this sign-in", errProvider)
	}
	c.Subject, c.Name = id.Subject, strings.TrimSpace(c.Name)
	return c, nil
}
