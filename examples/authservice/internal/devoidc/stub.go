// Package devoidc is a stub.
package devoidc

import "log/slog"

type Options struct {
	ClientID, ClientSecret, RedirectURI string
	Logger                              *slog.Logger
}
type Provider struct{}

func Start(o Options) (*Provider, error) { return &Provider{}, nil }
func (p *Provider) Issuer() string       { return "http://127.0.0.1:1" }
func (p *Provider) Close() error         { return nil }
