package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// A guarded site counts how often a password is checked. Tests choose the networks of its clients.
type guarded struct {
	*site
	checked atomic.Int64
}

func newGuarded(t *testing.T, database string, pairs ...string) *guarded {
	s := &guarded{site: newSite(t, database, append(pairs, "TRUSTED_PROXIES", "127.0.0.1")...)}
	compare := s.service.passwords.compare
	s.service.passwords.compare = func(password, hash string) (bool, error) {
		s.checked.Add(1)
		if strings.HasPrefix(password, "wrong") { // skips the slow comparison
			return false, nil
		}
		return compare(password, hash)
	}
	return s
}

// from returns a browser whose requests come from an address.
func (s *guarded) from(network string) *browser {
	b := s.browser()
	b.client.Transport = forwarding{b.client.Transport, network}
	return b
}

type forwarding struct {
	http.RoundTripper
	network string
}

func (f forwarding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", f.network)
	return f.RoundTripper.RoundTrip(r)
}

// tries posts a password and returns the status.
func (b *browser) tries(email, password string) int {
	b.t.Helper()
	return b.post("/login", url.Values{"email": {email}, "password": {password}}).Status
}
