package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
)

// newRateLimit returns the rate_limit hook, which counts attempts to sign in within one process.
// For several processes, add a Limiter of hooks/ratelimit/redislimit.
func newRateLimit(now func() time.Time) (*ratelimit.RateLimit, error) {
	return ratelimit.New(ratelimit.Options{
		Limiter: &ratelimit.Memory{Now: now},
		Key: func(ctx context.Context, _ *flowhook.Exchange) (ratelimit.Keys, error) {
			client, _ := ctx.Value(clientKey{}).(string)
			in, _ := ctx.Value(credentialsKey{}).(credentials) // none at logout
			return ratelimit.Keys{Client: network(client), Account: in.Name}, nil
		},
	})
}

// network returns the network that a single client controls: an IPv4 address or an IPv6 /64.
func network(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() && !ip.Is4In6() {
		return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
	}
	return address
}
