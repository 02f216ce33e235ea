package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/flowhook/flowhook"
)

// newRateLimit returns the factory of the rate_limit hook, which limits attempts by account and by
// client address. It counts within one process; several processes need a shared store to count
// together.
func newRateLimit(now func() time.Time) flowhook.HookFactory {
	return func(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
		if p.Phase != flowhook.BeforePersist {
			return nil, errors.New("rate_limit must run before anything is saved; write phase: before_persist")
		}
		var config struct {
			Account      int           `yaml:"account"`
			AccountEvery time.Duration `yaml:"account_every"`
			Address      int           `yaml:"address"`
			AddressEvery time.Duration `yaml:"address_every"`
		}
		if err := decode(&config); err != nil {
			return nil, err
		}
		if config.Account < 1 || config.Address < 1 || config.AccountEvery <= 0 || config.AddressEvery <= 0 {
			return nil, errors.New(
				"account, account_every, address and address_every are required and must be positive")
		}
		accounts := newLimits(config.Account, config.AccountEvery)
		addresses := newLimits(config.Address, config.AddressEvery)
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			if x.Identity == nil {
				return flowhook.ErrNoIdentity
			}
			// The address first, so that a client over its limit does not use up the limits of
			// accounts.
			client, _ := ctx.Value(clientKey{}).(string)
			wait := addresses.take(network(client), now())
			if wait == 0 {
				wait = accounts.take(x.Identity.ID, now())
			}
			if wait > 0 {
				return &flowhook.Refusal{Status: http.StatusTooManyRequests, Code: "rate_limited", RetryAfter: wait,
					Text: "too many attempts; try again after the seconds in Retry-After"}
			}
			return nil
		}), nil
	}
}

// maxKeys is the maximum number of keys; the least recently used is dropped. A dropped key starts
// over. To make the service drop an account, an attacker must try that many others, from many
// addresses.
const maxKeys = 100_000

// limits holds a limiter for each key. It stores only the hash of a key. A key may be as long as a
// request's body, and maxKeys of them would need hundreds of megabytes.
type limits struct {
	burst int
	every time.Duration
	keys  *lru.Cache[[sha256.Size]byte, *rate.Limiter]
}

func newLimits(burst int, every time.Duration) *limits {
	keys, err := lru.New[[sha256.Size]byte, *rate.Limiter](maxKeys)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &limits{burst, every, keys}
}

// take counts an attempt or, if there were too many, returns how long to wait and does not count
// it.
func (l *limits) take(key string, now time.Time) (wait time.Duration) {
	hash := sha256.Sum256([]byte(key))
	limiter, ok := l.keys.Get(hash)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(l.every), l.burst)
		if first, ok, _ := l.keys.PeekOrAdd(hash, limiter); ok { // another request was faster
			limiter = first
		}
	}
	r := limiter.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// network returns the network that a single client controls: an IPv4 address or an IPv6 /64.
func network(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() && !ip.Is4In6() {
		return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
	}
	return address
}
