package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/flowhook/flowhook"
)

// newRateLimit gives the factory of the rate_limit hook: a gate that counts attempts, by account and by client address. It
// is for one process; several that are to count together need a store that they share.
func newRateLimit(now func() time.Time) flowhook.HookFactory {
	return func(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
		if p.Phase != flowhook.BeforePersist {
			return nil, errors.New("it refuses before anything is saved; write phase: before_persist")
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
			return nil, errors.New("account, account_every, address and address_every are needed, and above 0")
		}
		accounts, addresses := newLimits(config.Account, config.AccountEvery), newLimits(config.Address, config.AddressEvery)
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			if x.Identity == nil {
				return flowhook.ErrNoIdentity
			}
			// The address first: who is over its limit uses up no account's.
			client, _ := ctx.Value(clientKey{}).(string)
			wait := addresses.take(network(client), now())
			if wait == 0 {
				wait = accounts.take(x.Identity.ID, now())
			}
			if wait > 0 {
				seconds := int((wait + time.Second - 1) / time.Second)
				x.Writer.Header().Set("Retry-After", strconv.Itoa(seconds))
				refuse(x.Writer, http.StatusTooManyRequests, "rate_limited", "too many attempts; Retry-After says in how many seconds to try again")
			}
			return nil
		}), nil
	}
}

// remembered is how many keys, at most, limits keep: those that were used last. One that is forgotten may begin anew; to
// have an account forgotten, somebody would have to try so many others, from many addresses.
const remembered = 100_000

// limits are one limiter a key. A key is remembered by its hash: it may be as long as a request's body, and to remember so
// many of those would take hundreds of megabytes.
type limits struct {
	burst int
	every time.Duration
	keys  *lru.Cache[[sha256.Size]byte, *rate.Limiter]
}

func newLimits(burst int, every time.Duration) *limits {
	keys, err := lru.New[[sha256.Size]byte, *rate.Limiter](remembered)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &limits{burst, every, keys}
}

// take counts an attempt, or says how long to wait, and then does not count it.
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

// network gives what one client has: an IPv4 address, or an IPv6 network of 64 bits.
func network(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() && !ip.Is4In6() {
		return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
	}
	return address
}
