// Package redislimit keeps the allowances of the rate_limit hook in Redis, for several copies of a
// service. All copies together allow exactly what the file says, by the clock of Redis.
//
// Each call is one command, and so one round trip: a script that takes all attempts or none. The
// limiters of github.com/go-redis/redis_rate/v10 take from one key per call, and cannot give back
// the only attempt that was taken. The scripts keep their algorithm, GCRA, and their keys and
// values, so that redis_rate can read and reset a bucket.
package redislimit

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowhook/flowhook/hooks/ratelimit"
)

// DefaultPrefix is the default of [Options.Prefix].
const DefaultPrefix = "flowhook"

// Options configure [New].
type Options struct {
	// Client is a *redis.Client, also with Sentinel, a *redis.ClusterClient or a *redis.Ring. Set
	// ContextTimeoutEnabled in its options. Otherwise a request would wait for a Redis that does not
	// answer as long as the client's own timeouts allow, and not for [ratelimit.Options.Timeout]. It
	// needs Redis 5 or later. It is required.
	Client redis.UniversalClient

	// Prefix tells services or tenants apart that share a Redis. Its keys are "rate:{PREFIX}KEY".
	// Because of the braces, a cluster keeps all keys of a prefix on one node. Prefix must not
	// contain braces. Default: DefaultPrefix.
	Prefix string
}

// A Limiter is a [ratelimit.Limiter] in Redis. Make it with [New]. It is safe for concurrent use.
//
// Buckets that are full take no memory. Let Redis evict nothing (maxmemory-policy noeviction) or
// only keys that expire soonest: an evicted bucket starts over, full. If a reply is lost, go-redis
// sends the command again, and the attempt counts or is given back twice. To prevent that, set
// MaxRetries to -1; then more attempts pass while Redis restarts.
type Limiter struct {
	client redis.Scripter
	prefix string
}

// New returns a Limiter. It does not connect yet. It returns an error if Client is missing or
// ignores deadlines, or if Prefix has braces.
func New(opts Options) (*Limiter, error) {
	switch {
	case opts.Client == nil:
		return nil, errors.New("redislimit: no Options.Client")
	case !heedsDeadlines(opts.Client):
		return nil, errors.New("redislimit: Options.Client ignores the deadline of a context; " +
			"set ContextTimeoutEnabled in the client's options")
	case strings.ContainsAny(opts.Prefix, "{}"):
		return nil, fmt.Errorf("redislimit: Options.Prefix %q has braces; remove them", opts.Prefix)
	}
	return &Limiter{opts.Client, "rate:{" + cmp.Or(opts.Prefix, DefaultPrefix) + "}"}, nil
}

// heedsDeadlines reports whether a client ends a command at the deadline of its context. A client
// of another type is the host's own, which must know.
func heedsDeadlines(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return c.Options().ContextTimeoutEnabled
	}
	return true
}

// The scripts are sent whole. EVALSHA would need a second round trip after each restart of Redis.
var (
	//go:embed take.lua
	takeScript string
	//go:embed giveback.lua
	giveBackScript string
)

// Take implements [ratelimit.Limiter].
func (l *Limiter) Take(ctx context.Context, buckets []ratelimit.Bucket) (wait time.Duration, empty int, err error) {
	reply, err := l.eval(ctx, takeScript, buckets).Int64Slice()
	if err != nil {
		return 0, 0, err
	}
	if len(reply) != 2 || reply[0] > 0 && (reply[1] < 1 || reply[1] > int64(len(buckets))) {
		return 0, 0, fmt.Errorf("redislimit: unexpected reply %v", reply)
	}
	return time.Duration(reply[0]) * time.Microsecond, int(max(reply[1]-1, 0)), nil
}

// GiveBack implements [ratelimit.Limiter].
func (l *Limiter) GiveBack(ctx context.Context, buckets []ratelimit.Bucket) error {
	return l.eval(ctx, giveBackScript, buckets).Err()
}

// eval runs a script. Its arguments are the tries and the microseconds per attempt of each bucket.
func (l *Limiter) eval(ctx context.Context, script string, buckets []ratelimit.Bucket) *redis.Cmd {
	keys, args := make([]string, len(buckets)), make([]any, 0, 2*len(buckets))
	for i, b := range buckets {
		keys[i] = l.prefix + b.Key
		args = append(args, b.Tries, b.Every.Microseconds())
	}
	return l.client.Eval(ctx, script, keys, args...)
}
