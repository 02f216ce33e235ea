package main

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/flowhook/flowhook"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// A provider is an OpenID provider with which users can sign in. It is discovered at the first
// sign-in, because it may be down when this service starts.
type provider struct {
	Key  string // in URLs
	Name string // for users

	issuer string // its URL
	id     string // the issuer in stored identities: its URL, unless the configuration has another
	logo   logo
	config oauth2.Config
	client *http.Client

	now func() time.Time

	lookup     singleflight.Group // runs look once at a time; the fields below belong to it
	found      *oidc.Provider     // nil until a lookup succeeds
	lookupErr  error              // of the last lookup, while found is nil
	lookedUpAt time.Time
}

// lookupInterval is how long discover returns the error of a failed lookup before it tries again.
const lookupInterval = 5 * time.Second

// newProvider returns a provider of the service at publicURL.
func newProvider(c providerConfig, publicURL string) *provider {
	return &provider{
		Key:    c.Key,
		Name:   c.label(),
		issuer: c.Issuer,
		id:     cmp.Or(c.Identity, c.Issuer),
		logo:   c.Logo,
		config: oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret,
			RedirectURL: publicURL + callbackPath(c.Key), Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
		},
		client: &http.Client{Timeout: 10 * time.Second},
		now:    time.Now,
	}
}

// LogoFile returns the name of the static file with the logo, or "" if there is none.
func (p *provider) LogoFile() string {
	if len(p.logo.Data) == 0 {
		return ""
	}
	return "provider-" + p.Key
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

// errCanceled means that the user canceled the sign-in at the provider.
func (p *provider) errCanceled() *flowhook.Refusal {
	return refuse("", "canceled", "You canceled the sign-in at "+p.Name+". Nothing was changed.")
}

// errRefused means that the provider refused the sign-in.
func (p *provider) errRefused() *flowhook.Refusal {
	return refuse("", "refused_by_provider", "The sign-in at "+p.Name+" did not succeed. Please try again.")
}

// answer returns the claims of a callback that belongs to an attempt.
func (p *provider) answer(ctx context.Context, query url.Values, a attempt) (claims, error) {
	if err := p.checkIssuer(ctx, query); err != nil {
		return claims{}, err
	}
	switch {
	case query.Get("error") == "access_denied":
		return claims{}, p.errCanceled()
	case query.Get("error") != "" || query.Get("code") == "":
		return claims{}, p.errRefused()
	}
	c, err := p.redeem(ctx, query.Get("code"), a)
	if err == nil && a.Fresh && p.now().Sub(time.Unix(c.AuthenticatedAt, 0)) > freshSlack {
		err = p.errStale()
	}
	return c, err
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
		return claims{}, fmt.Errorf("%w: the code was rejected (%q)", p.errRefused(), refused.ErrorCode)
	}
	if err != nil {
		// the text of err may quote the code
		return claims{}, errors.New("the OpenID provider did not exchange the code")
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return claims{}, fmt.Errorf("%w: the ID token is invalid", p.errRefused())
	}
	c := claims{}
	if err := id.Claims(&c); err != nil || id.Subject == "" || len(id.Subject) > 255 ||
		subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) == 0 {
		return claims{}, fmt.Errorf("%w: the ID token is not for this sign-in", p.errRefused())
	}
	c.Subject, c.Name = id.Subject, strings.TrimSpace(c.Name)
	return c, nil
}
