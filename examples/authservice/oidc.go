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

// A provider is an OpenID provider with which users can sign in. It is discovered at the first
// sign-in, because it may be down when this service starts.
type provider struct {
	issuer string // its URL
	id     string // the issuer in stored identities: its URL, or developmentProvider
	config oauth2.Config
	codec  securecookie.Codec
	client *http.Client

	now func() time.Time

	lookup     singleflight.Group // runs look once at a time; the fields below belong to it
	found      *oidc.Provider     // nil until a lookup succeeds
	lookupErr  error              // of the last lookup, while found is nil
	lookedUpAt time.Time
}

// lookupInterval is how long discover returns the error of a failed lookup before it tries again.
const lookupInterval = 5 * time.Second

// developmentProvider is the id of the development provider, whose URL changes with each start.
const developmentProvider = "development"

// newProvider returns a provider that signs and encrypts its cookie with keys. keys has 96 bytes
// and is the same in all copies, because any copy may receive the callback.
func newProvider(c config, id string, keys []byte) *provider {
	codec := securecookie.New(keys[:64], keys[64:]).MaxAge(int(attemptLifetime / time.Second))
	return &provider{
		issuer: c.OIDCIssuer,
		id:     id,
		config: oauth2.Config{
			ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret,
			RedirectURL: c.PublicURL + callbackPath, Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
		},
		codec:  codec.SetSerializer(securecookie.JSONEncoder{}),
		client: &http.Client{Timeout: 10 * time.Second},
		now:    time.Now,
	}
}

// name returns the name for "Sign in with ...", or "" if p is nil.
func (p *provider) name() string {
	if p == nil {
		return ""
	}
	if u, err := url.Parse(p.issuer); err == nil && p.id != developmentProvider {
		return u.Host
	}
	return "the test provider"
}

// discover returns the provider's metadata and looks it up if no lookup has succeeded yet. It
// returns when ctx ends.
func (p *provider) discover(ctx context.Context) (*oidc.Provider, oauth2.Config, error) {
	var result singleflight.Result
	select {
	case result = <-p.lookup.DoChan("", func() (any, error) { return p.look() }):
	case <-ctx.Done():
		result.Err = ctx.Err()
	}
	if result.Err != nil {
		return nil, oauth2.Config{}, fmt.Errorf("discovering the OpenID provider: %w", result.Err)
	}
	found, c := result.Val.(*oidc.Provider), p.config
	c.Endpoint = found.Endpoint()
	c.Endpoint.AuthStyle = oauth2.AuthStyleInHeader // automatic detection could use up the code
	return found, c, nil
}

// look returns the cached metadata or looks it up.
func (p *provider) look() (*oidc.Provider, error) {
	if p.found == nil && (p.lookupErr == nil || !p.now().Before(p.lookedUpAt.Add(lookupInterval))) {
		// The provider keeps this context to fetch its keys, so it must not be a request's. The
		// client has a timeout.
		p.found, p.lookupErr = oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.issuer)
		p.lookedUpAt = p.now()
	}
	return p.found, p.lookupErr
}

// claims are the provider's claims about a user.
type claims struct {
	Subject  string
	Email    string `json:"email"`
	Verified bool   `json:"email_verified"`
	Name     string `json:"name"`
	Nonce    string `json:"nonce"`

	// AuthenticatedAt is when the user signed in at the provider, in seconds; 0 if it does not say.
	AuthenticatedAt int64 `json:"auth_time"`
}

// An attempt ties a callback to the browser that started the sign-in. It is in an encrypted cookie,
// which the callback deletes. A copy of the cookie could be replayed until it expires, but not the
// provider's code, which works only once.
type attempt struct {
	State, Nonce, Verifier string
	ReturnTo               string // where the user goes after the sign-in
	Fresh                  bool   // the provider must authenticate the user again
}

const (
	callbackPath    = "/login/oidc/callback"
	attemptCookie   = "__Host-oidc"
	attemptLifetime = 10 * time.Minute
)

func (p *provider) begin(w http.ResponseWriter, returnTo string, fresh bool) (attempt, error) {
	a := attempt{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), returnTo, fresh}
	value, err := p.codec.Encode(attemptCookie, a)
	if err != nil {
		return attempt{}, fmt.Errorf("encrypting the OIDC cookie: %w", err)
	}
	p.setCookie(w, value, int(attemptLifetime/time.Second))
	return a, nil
}

// setCookie sets the attempt's cookie with SameSite=Lax. Browsers would not send a Strict cookie
// with the redirect from the provider's site.
func (p *provider) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: attemptCookie, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// errAttempt means that a callback belongs to no attempt of this browser: it is a replay, someone
// else's link, or too late.
var errAttempt = refuse("", "bad_attempt", "This sign-in was not started in this browser, or it took too long. "+
	"Please start again, and allow cookies for this site.")

// errCanceled means that the user canceled the sign-in at the provider.
var errCanceled = refuse("", "canceled", "You canceled the sign-in at the provider. Nothing was changed.")

// errProvider means that the provider refused the sign-in.
var errProvider = refuse("", "refused_by_provider", "The provider did not sign you in. Please try again.")

// callback checks the provider's callback and returns its claims and its attempt. It always deletes
// the attempt's cookie.
func (p *provider) callback(w http.ResponseWriter, r *http.Request) (c claims, a attempt, err error) {
	p.setCookie(w, "", -1)
	cookies, query := r.CookiesNamed(attemptCookie), r.URL.Query()
	if len(cookies) != 1 || p.codec.Decode(attemptCookie, cookies[0].Value, &a) != nil ||
		a.State == "" || subtle.ConstantTimeCompare([]byte(a.State), []byte(query.Get("state"))) == 0 {
		return claims{}, attempt{ReturnTo: "/"}, errAttempt
	}
	if err := p.checkIssuer(r.Context(), query); err != nil {
		return claims{}, a, err
	}
	switch {
	case query.Get("error") == "access_denied":
		return claims{}, a, errCanceled
	case query.Get("error") != "" || query.Get("code") == "":
		return claims{}, a, errProvider
	}
	c, err = p.redeem(r.Context(), query.Get("code"), a)
	if err == nil && a.Fresh && p.now().Sub(time.Unix(c.AuthenticatedAt, 0)) > freshSlack {
		err = errStale
	}
	return c, a, err
}

// checkIssuer checks who sent a callback, so that no other provider can (RFC 9207). It returns
// errAttempt if the issuer is wrong, or missing although the provider's metadata announces it.
func (p *provider) checkIssuer(ctx context.Context, callback url.Values) error {
	if callback.Has("iss") {
		if len(callback["iss"]) != 1 || callback.Get("iss") != p.issuer {
			return errAttempt
		}
		return nil
	}
	found, _, err := p.discover(ctx)
	if err != nil {
		return err
	}
	var metadata struct {
		SendsIssuer bool `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&metadata); err != nil {
		return fmt.Errorf("reading the provider's metadata: %w", err)
	}
	if metadata.SendsIssuer {
		return errAttempt
	}
	return nil
}

// redeem exchanges the code for an ID token and returns its claims.
func (p *provider) redeem(ctx context.Context, code string, a attempt) (claims, error) {
	found, config, err := p.discover(ctx)
	if err != nil {
		return claims{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500 {
		return claims{}, fmt.Errorf("%w: the code was rejected (%q)", errProvider, refused.ErrorCode)
	}
	if err != nil {
		// the text of err may quote the code
		return claims{}, errors.New("the OpenID provider did not exchange the code")
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return claims{}, fmt.Errorf("%w: the ID token is invalid", errProvider)
	}
	c := claims{}
	if err := id.Claims(&c); err != nil || id.Subject == "" || len(id.Subject) > 255 ||
		subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) == 0 {
		return claims{}, fmt.Errorf("%w: the ID token is not for this sign-in", errProvider)
	}
	c.Subject, c.Name = id.Subject, strings.TrimSpace(c.Name)
	return c, nil
}
