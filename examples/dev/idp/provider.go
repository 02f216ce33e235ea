// Package idp is a small OpenID provider for development and tests: anyone can sign in as anyone
// on its login page, with any address. It listens on a loopback address, has a single client, and
// refuses requests to any other host name.
//
// It implements the authorization code flow with PKCE strictly, so that a client that works with it
// also works with real providers. It refuses a request without PKCE, a redirect URI that differs from
// the registered one, and a code that is a minute old or was already tried.
//
// It sets no cookies, because cookies are shared between ports and could overwrite the service's.
// Instead, the form of the login page contains the request.
package idp

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Options configures the provider's client.
type Options struct {
	ClientID     string
	ClientSecret string
	RedirectURI  string // must match exactly

	Logger *slog.Logger     // default: slog.Default()
	Now    func() time.Time // default: time.Now
}

// A Provider is a running provider. It is safe for concurrent use.
type Provider struct {
	o        Options
	issuer   string
	host     string
	policy   string
	signer   jose.Signer
	jwks     jose.JSONWebKeySet
	listener net.Listener
	server   *http.Server
	served   chan struct{}

	mu    sync.Mutex
	codes map[string]grant
}

// Start starts a provider with a new key. It runs until Close.
func Start(o Options) (*Provider, error) {
	redirect, err := url.Parse(o.RedirectURI)
	switch {
	case o.ClientID == "" || o.ClientSecret == "":
		return nil, errors.New("idp: the client needs an ID and a secret")
	case err != nil || redirect.Host == "" || redirect.Fragment != "" ||
		(redirect.Scheme != "http" && redirect.Scheme != "https"):
		return nil, errors.New("idp: the redirect URI must be an http or https URL without a fragment")
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Provider{o: o, codes: map[string]grant{}, served: make(chan struct{})}
	if err := p.newKey(); err != nil {
		return nil, fmt.Errorf("idp: generating a key: %w", err)
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	p.host = p.listener.Addr().String()
	p.issuer = "http://" + p.host
	// Browsers also apply form-action to the redirect that answers the form.
	p.policy = "default-src 'none'; style-src '" + styleHash +
		"'; img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " +
		redirect.Scheme + "://" + redirect.Host
	p.server = &http.Server{Handler: p.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn)}
	go func() {
		defer close(p.served)
		if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("the development provider has stopped", "error", err)
		}
	}()
	return p, nil
}

// Issuer returns the provider's URL, which is its issuer identifier.
func (p *Provider) Issuer() string { return p.issuer }

// Close stops the provider.
func (p *Provider) Close() error {
	err := p.server.Close()
	<-p.served
	return err
}

func (p *Provider) newKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private := jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	p.jwks.Keys = []jose.JSONWebKey{private.Public()}
	p.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private},
		new(jose.SignerOptions).WithType("JWT"))
	return err
}

func (p *Provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discover)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.jwks) })
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /authorize", p.login)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		p.page(w, http.StatusOK, page{Problem: "Don't start here: open the service and choose to sign in with this " +
			"provider."})
	})
	protected := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != p.host { // prevents DNS rebinding
			http.Error(w, "This provider is only at "+p.issuer+".", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		protected.ServeHTTP(w, r)
	})
}

func (p *Provider) discover(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                p.issuer,
		"authorization_endpoint":                p.issuer + "/authorize",
		"token_endpoint":                        p.issuer + "/token",
		"jwks_uri":                              p.issuer + "/jwks",
		"scopes_supported":                      []string{"openid", "email", "profile"},
		"response_types_supported":              []string{"code"},
		"response_modes_supported":              []string{"query"},
		"grant_types_supported":                 []string{"authorization_code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":      []string{"S256"},
		"claims_supported": []string{"iss", "sub", "aud", "exp", "iat", "auth_time",
			"nonce", "email", "email_verified", "name"},
		"authorization_response_iss_parameter_supported": true, // RFC 9207
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
