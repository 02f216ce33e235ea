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

// config is what an entry of block_disposable has. A key that is not here is an error of New, with its line; a string may be
// a reference, such as ${NAME}, and arrives resolved.
type config struct {
	Service string   `yaml:"service"`
	Token   string   `yaml:"token"`
	Trusted []string `yaml:"trusted"`
}

// blockDisposable is the factory of a hook that refuses who registers with a throwaway address. Another service knows the
// domains of these. It is called once for each entry of the file, and what it returns serves all requests.
func blockDisposable(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	if p.Phase != flowhook.BeforePersist {
		return nil, fmt.Errorf("block_disposable refuses, so it must stand before saving, and not at %s; write phase: before_persist", p)
	}
	var c config
	if err := decode(&c); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.Service)
	if err != nil || u.Host == "" || c.Token == "" {
		return nil, errors.New("block_disposable needs the URL of a service, and a token for it")
	}
	return &blocker{config: c, client: &http.Client{}}, nil
}

type blocker struct {
	config
	client *http.Client // without a timeout of its own: that of the entry is the context's
}

// Run refuses by answering, and fails where it cannot know.
func (b *blocker) Run(ctx context.Context, x *flowhook.Exchange) error {
	if x.Identity == nil {
		return flowhook.ErrNoIdentity
	}
	for _, a := range x.Identity.Addresses {
		domain := strings.ToLower(a.Value[strings.LastIndexByte(a.Value, '@')+1:])
		if a.Via != "email" || slices.Contains(b.Trusted, domain) {
			continue
		}
		throwaway, err := b.ask(ctx, domain)
		if err != nil {
			return err
		}
		if throwaway {
			http.Error(x.Writer, "Please register with an address that you will keep.", http.StatusForbidden)
			return nil
		}
	}
	return nil
}

// ask asks the service about a domain. The request ends with ctx. Its errors have neither the domain nor the token in them.
func (b *blocker) ask(ctx context.Context, domain string) (throwaway bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.Service+"?domain="+url.QueryEscape(domain), nil)
	if err != nil {
		return false, errors.New("the service's URL cannot be asked")
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
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10)) // so that the connection is used again
	switch res.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, fmt.Errorf("asking about the domain: %s", res.Status)
}
