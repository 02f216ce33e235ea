package redislimit_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/hooks/ratelimit/redislimit"
	"github.com/flowhook/flowhook/internal/testkit"
)

// This function is that of docs/ratelimit.md, unchanged: see TestPage_Go in hooks/ratelimit.

func newLimiter(url string) (ratelimit.Limiter, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	options.ContextTimeoutEnabled = true // a request must not wait for a Redis that does not answer
	return redislimit.New(redislimit.Options{Client: redis.NewClient(options)})
}

func TestPage(t *testing.T) {
	l, err := newLimiter(testkit.Env(t, "FLOWHOOK_REDIS"))
	require.NoError(t, err)
	client, prefix := connect(t, options(t))
	b := []ratelimit.Bucket{{Key: prefix, Tries: 1, Every: time.Hour}}
	t.Cleanup(func() { require.NoError(t, l.GiveBack(context.Background(), b)) })
	wait, _, err := l.Take(t.Context(), b)
	require.NoError(t, err)
	require.Zero(t, wait)
	require.EqualValues(t, 1, client.Exists(t.Context(), "rate:{flowhook}"+prefix).Val())
}
