package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
)

// config is the config of a block_disposable entry. An unknown key is an error of New, with its
// line. A string may be a reference, such as ${NAME}, which is already resolved here.
type config struct {
	Service string   `yaml:"service"`
	Token   string   `yaml:"token"`
	Trusted []string `yaml:"trusted"`
}

// blockDisposable is the factory of a hook that rejects registrations with a disposable address. It
// asks another service for the domains of such addresses. The factory is called once for each entry
// in the file; the hook that it returns serves all requests.
func blockDisposable(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	if p.Phase != flowhook.BeforePersist {
		return nil, fmt.Errorf("block_disposable must run before anything is saved, not at %s; write phase: "+
			"before_persist", p)
	}
	var c config
	if err := decode(&c); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.Service)
	if err != nil || u.Host == "" || c.Token == "" {
		return nil, errors.New("block_disposable needs the URL of a service and a token for it")
	}
	return &blocker{config: c, client: &http.Client{}}, nil
}

type blocker struct {
	config
	client *http.Client // has no timeout; the context has the timeout of the entry
}

// Describe is for the hook page.
func (b *blocker) Describe() string {
	return "Refuses an address at a domain that a service lists as disposable."
}

// Run answers 403 if an address is disposable. It returns an error if the service does not answer.
func (b *blocker) Run(ctx context.Context, x *flowhook.Exchange) error {
	if x.Identity == nil {
		return flowhook.ErrNoIdentity
	}
	for _, a := range x.Identity.Addresses {
		domain := strings.ToLower(a.Value[strings.LastIndexByte(a.Value, '@')+1:])
		if a.Via != "email" || slices.Contains(b.Trusted, domain) {
			continue
		}
		disposable, err := b.ask(ctx, domain)
		if err != nil {
			return err
		}
		if disposable {
			http.Error(x.Writer, "Please register with a permanent email address.", http.StatusForbidden)
			return nil
		}
	}
	return nil
}

// ask reports whether the service lists a domain. Its errors contain neither the domain nor the
// token.
func (b *blocker) ask(ctx context.Context, domain string) (disposable bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.Service+"?domain="+url.QueryEscape(domain), nil)
	if err != nil {
		return false, errors.New("the service has an invalid URL")
	}
	req.Header.Set("Authorization", "Bearer "+b.Token)
	res, err := b.client.Do(req)
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL
	}
	if err != nil {
		return false, fmt.Errorf("asking about the domain: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10)) // so that the connection can be reused
	switch res.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, fmt.Errorf("asking about the domain: %s", res.Status)
}
