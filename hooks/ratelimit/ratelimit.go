// Package ratelimit is the rate_limit hook. It limits guessing, and floods of registrations and
// emails, by client, by account, and by both.
//
// At before of a flow, an entry takes an attempt from the allowance of each of its rows. If one of
// them has none left, it refuses with 429, the code "too_many_attempts" and Retry-After, and takes
// nothing. At after, an entry gives the attempts back once the flow is committed. So an attempt
// that is still running counts as failed, and parallel guesses cannot slip through.
//
//	before:
//	  hooks:
//	    - hook: rate_limit
//	      config:
//	        limits:
//	          - {by: pair, tries: 5, every: 1m}
//	          - {by: account, tries: 50, every: 5m}
//	          - {by: client, tries: 50, every: 10s}
//	after:
//	  hooks:
//	    - hook: rate_limit
//
// An allowance holds at most tries attempts. A used one comes back after every: it is a token
// bucket.
package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook"
)

// DefaultTimeout is the default of [Options.Timeout].
const DefaultTimeout = 250 * time.Millisecond

// Options configure [New].
type Options struct {
	// Limiter keeps the allowances. Default: a new [Memory], which counts in this process only. For
	// several copies of a service, use the package redislimit.
	Limiter Limiter

	// Key returns what a request counts on. It is called at before of each entry's flow, for
	// requests that are not safe (RFC 9110, section 9.2.1): GET, HEAD, OPTIONS and TRACE never
	// count, and neither do exchanges without a Request. No identity is known yet, so Key reads the
	// request. It may parse the form. ctx is the hook's. An error fails the request, and a
	// [flowhook.Refusal] refuses it. Key is called concurrently. It is required.
	Key func(ctx context.Context, x *flowhook.Exchange) (Keys, error)

	// Timeout is how long a request waits for the limiter, before and after the flow each.
	// Default: DefaultTimeout.
	Timeout time.Duration

	// Logger logs failures of the limiter at before. Default: slog.Default. The pipeline's own
	// logger logs those at after.
	Logger *slog.Logger
}

// Keys are what a request counts on. A row counts only if the keys that it needs are not empty, so
// the zero Keys are a request that is no attempt. Keys may be of any length and content: only
// hashes of them are kept. If several pipelines share a RateLimit or a Limiter, Client and Account
// must contain the tenant.
type Keys struct {
	// Client is where the request comes from: a network that one client controls, such as an IPv4
	// address or an IPv6 /64. Behind a proxy, take it from a header only if your proxy has set it.
	Client string

	// Account is the account that the request names, registered or not. Otherwise refusals would
	// reveal which accounts exist. Normalize it, so that two spellings of one account are equal.
	Account string

	// Device is a device that the account knows. Set it only if the request proves that the device
	// has signed in to Account before, such as by a cookie. The rows then count this device on this
	// account, apart from everything else, so that guessing elsewhere cannot lock out the owner.
	// Device is ignored without an Account.
	Device string
}

// A RateLimit makes the hooks of the entries in the file. It remembers the attempts of the requests
// that are running, also across reloads. It is safe for concurrent use.
type RateLimit struct {
	limiter Limiter
	key     func(ctx context.Context, x *flowhook.Exchange) (Keys, error)
	timeout time.Duration
	log     *slog.Logger
	taken   taken
}

// New returns a RateLimit. Its Factory goes into [flowhook.Options.Hooks] as "rate_limit". New
// returns an error if Key is missing or Timeout is negative.
func New(opts Options) (*RateLimit, error) {
	switch {
	case opts.Key == nil:
		return nil, errors.New("ratelimit: no Options.Key; write a function that returns the client and the account")
	case opts.Timeout < 0:
		return nil, fmt.Errorf("ratelimit: Options.Timeout is %q; it must be positive", opts.Timeout)
	}
	if opts.Limiter == nil {
		opts.Limiter = &Memory{}
	}
	return &RateLimit{
		limiter: opts.Limiter,
		key:     opts.Key,
		timeout: cmp.Or(opts.Timeout, DefaultTimeout),
		log:     cmp.Or(opts.Logger, slog.Default()),
	}, nil
}

// Factory makes the hook of an entry: at before, one that takes attempts, and at after, one that
// gives them back. It is a [flowhook.HookFactory].
func (l *RateLimit) Factory(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	switch p.Phase {
	case flowhook.Before:
		c := config{Name: string(p.Flow), OnError: onErrorContinue}
		if err := decode(&c); err != nil {
			return nil, err
		}
		return &attempt{l, c}, nil
	case flowhook.After:
		return &success{l}, nil
	}
	return nil, errors.New("rate_limit is allowed at before, where it takes an attempt, " +
		"and at after, where it gives the attempt back")
}
