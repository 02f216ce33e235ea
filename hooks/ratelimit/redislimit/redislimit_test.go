package redislimit_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/hooks/ratelimit/limitertest"
	"github.com/flowhook/flowhook/hooks/ratelimit/redislimit"
	"github.com/flowhook/flowhook/internal/testkit"
)

// TestMain runs as a worker if a test started this binary as one.
func TestMain(m *testing.M) {
	if os.Getenv("REDISLIMIT_PREFIX") != "" {
		work()
		return
	}
	os.Exit(m.Run())
}

// options returns the client options of FLOWHOOK_REDIS.
func options(t testing.TB) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(testkit.Env(t, "FLOWHOOK_REDIS"))
	require.NoError(t, err)
	o.ContextTimeoutEnabled = true
	return o
}

// connect returns a client, and a prefix of its own, whose keys are deleted after the test.
func connect(t testing.TB, o *redis.Options) (client *redis.Client, prefix string) {
	t.Helper()
	client, prefix = redis.NewClient(o), rand.Text()
	t.Cleanup(func() {
		for _, key := range keysOf(t, redis.NewClient(options(t)), prefix) {
			require.NoError(t, client.Del(context.Background(), key).Err())
		}
		require.NoError(t, client.Close())
	})
	return client, prefix
}

func keysOf(t testing.TB, client *redis.Client, prefix string) []string {
	t.Helper()
	keys, err := client.Keys(context.Background(), "rate:{"+prefix+"}*").Result()
	require.NoError(t, err)
	return keys
}

func limiterOf(t testing.TB, client redis.UniversalClient, prefix string) *redislimit.Limiter {
	t.Helper()
	l, err := redislimit.New(redislimit.Options{Client: client, Prefix: prefix})
	require.NoError(t, err)
	return l
}

// passer returns a function that makes all buckets of a prefix older.
func passer(t testing.TB, client *redis.Client, prefix string) func(d time.Duration) {
	return func(d time.Duration) {
		for _, key := range keysOf(t, client, prefix) {
			full, err := client.Get(t.Context(), key).Float64()
			require.NoError(t, err)
			left, err := client.PTTL(t.Context(), key).Result()
			require.NoError(t, err)
			if left <= d {
				require.NoError(t, client.Del(t.Context(), key).Err())
				continue
			}
			earlier := strconv.FormatFloat(full-d.Seconds(), 'f', 6, 64)
			require.NoError(t, client.Set(t.Context(), key, earlier, left-d).Err())
		}
	}
}

func TestLimiter(t *testing.T) {
	client, prefix := connect(t, options(t))
	limitertest.Run(t, func(t *testing.T) (ratelimit.Limiter, func(time.Duration)) {
		return limiterOf(t, client, prefix), passer(t, client, prefix)
	})
}

// The limiter decides as redis_rate does, which can read and reset its buckets.
func TestLimiter_LikeRedisRate(t *testing.T) {
	client, prefix := connect(t, options(t))
	l, oracle, pass := limiterOf(t, client, prefix), redis_rate.NewLimiter(client), passer(t, client, prefix)
	b := ratelimit.Bucket{Key: "ours", Tries: 5, Every: 7 * time.Hour}
	limit := redis_rate.Limit{Rate: 1, Period: b.Every, Burst: b.Tries}
	key := func(name string) string { return "{" + prefix + "}" + name }
	for i := range 200 {
		wait, _, err := l.Take(t.Context(), []ratelimit.Bucket{b})
		require.NoError(t, err)
		theirs, err := oracle.Allow(t.Context(), key("theirs"), limit)
		require.NoError(t, err)
		require.Equal(t, theirs.Allowed == 1, wait == 0, "attempt %d", i)
		if wait > 0 {
			require.InDelta(t, theirs.RetryAfter, wait, float64(time.Second))
		}
		ours, err := oracle.AllowN(t.Context(), key("ours"), limit, 0)
		require.NoError(t, err)
		require.Equal(t, theirs.Remaining, ours.Remaining)
		require.InDelta(t, theirs.ResetAfter, ours.ResetAfter, float64(time.Second))
		pass(time.Duration(i*i%17) * 30 * time.Minute)
	}
	require.NoError(t, oracle.Reset(t.Context(), key("ours")))
	require.Empty(t, client.Get(t.Context(), "rate:"+key("ours")).Val())
}

// Buckets expire when they are full, and leave nothing behind.
func TestLimiter_Expires(t *testing.T) {
	client, prefix := connect(t, options(t))
	l := limiterOf(t, client, prefix)
	b := []ratelimit.Bucket{{Key: "a", Tries: 3, Every: time.Hour}}
	for n := range 3 {
		_, _, err := l.Take(t.Context(), b)
		require.NoError(t, err)
		left := client.PTTL(t.Context(), "rate:{"+prefix+"}a").Val()
		require.InDelta(t, time.Duration(n+1)*time.Hour, left, float64(time.Minute))
	}
	for n := 2; n >= 0; n-- {
		require.NoError(t, l.GiveBack(t.Context(), b))
		left := client.PTTL(t.Context(), "rate:{"+prefix+"}a").Val()
		require.InDelta(t, time.Duration(n)*time.Hour, max(left, 0), float64(time.Minute))
	}
	require.Empty(t, keysOf(t, client, prefix))
}

// The longest and the shortest limits are exact.
func TestLimiter_Extremes(t *testing.T) {
	client, prefix := connect(t, options(t))
	l := limiterOf(t, client, prefix)
	for i, b := range []ratelimit.Bucket{{Tries: 1, Every: 365 * 24 * time.Hour}, {Tries: 365, Every: 24 * time.Hour},
		{Tries: 3000, Every: 1234567 * time.Microsecond}} {
		b.Key = fmt.Sprint(i)
		for range b.Tries {
			wait, _, err := l.Take(t.Context(), []ratelimit.Bucket{b})
			require.NoError(t, err)
			require.Zero(t, wait)
			if b.Tries == 3000 { // time passes while they are taken
				full := client.Get(t.Context(), "rate:{"+prefix+"}2").Val()
				require.Regexp(t, `^\d{9}\.\d{6}$`, full)
			}
		}
		if b.Tries < 3000 {
			wait, _, err := l.Take(t.Context(), []ratelimit.Bucket{b})
			require.NoError(t, err)
			require.Greater(t, wait, b.Every-time.Minute)
			require.LessOrEqual(t, wait, b.Every)
		}
	}
}

// Services with different prefixes share nothing.
func TestLimiter_Prefix(t *testing.T) {
	client, prefix := connect(t, options(t))
	b := []ratelimit.Bucket{{Key: "a", Tries: 1, Every: time.Hour}}
	for _, p := range []string{prefix, prefix + "2"} {
		wait, _, err := limiterOf(t, client, p).Take(t.Context(), b)
		require.NoError(t, err)
		require.Zero(t, wait)
	}
	wait, _, err := limiterOf(t, client, prefix).Take(t.Context(), b)
	require.NoError(t, err)
	require.NotZero(t, wait)
	require.NoError(t, client.Del(t.Context(), "rate:{"+prefix+"2}a").Err())
}

// A value that is not ours is an error, not a full bucket.
func TestLimiter_ForeignValue(t *testing.T) {
	client, prefix := connect(t, options(t))
	l := limiterOf(t, client, prefix)
	require.NoError(t, client.Set(t.Context(), "rate:{"+prefix+"}a", "x", time.Minute).Err())
	b := []ratelimit.Bucket{{Key: "a", Tries: 1, Every: time.Hour}}
	_, _, err := l.Take(t.Context(), b)
	require.Error(t, err)
	require.Error(t, l.GiveBack(t.Context(), b))
}

func TestNew_Errors(t *testing.T) {
	const deadline = "redislimit: Options.Client ignores the deadline of a context; " +
		"set ContextTimeoutEnabled in the client's options"
	for want, o := range map[string][]redislimit.Options{
		"redislimit: no Options.Client": {{}},
		deadline: {
			{Client: redis.NewClient(&redis.Options{})},
			{Client: redis.NewFailoverClient(&redis.FailoverOptions{})},
			{Client: redis.NewClusterClient(&redis.ClusterOptions{})},
			{Client: redis.NewRing(&redis.RingOptions{})},
		},
		"": {
			{Client: redis.NewClient(&redis.Options{ContextTimeoutEnabled: true})},
			{Client: redis.NewFailoverClient(&redis.FailoverOptions{ContextTimeoutEnabled: true})},
			{Client: redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true})},
			{Client: redis.NewRing(&redis.RingOptions{ContextTimeoutEnabled: true})},
			{Client: struct{ redis.UniversalClient }{redis.NewClient(&redis.Options{})}},
		},
		`redislimit: Options.Prefix "a}b" has braces; remove them`: {
			{Client: redis.NewClient(&redis.Options{ContextTimeoutEnabled: true}), Prefix: "a}b"},
		},
	} {
		for _, opts := range o {
			_, err := redislimit.New(opts)
			if want == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, want)
			}
			if opts.Client != nil {
				require.NoError(t, opts.Client.Close())
			}
		}
	}
}
