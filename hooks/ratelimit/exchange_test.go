package ratelimit_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/store/memstore"
)

func pipelineWith(t *testing.T, text string, limit *ratelimit.RateLimit) *flowhook.Pipeline {
	t.Helper()
	p, err := flowhook.New(parse(t, text), flowhook.Options{Store: memstore.New(),
		Logger: slog.New(slog.DiscardHandler),
		Hooks:  map[string]flowhook.HookFactory{"rate_limit": limit.Factory}})
	require.NoError(t, err)
	return p
}

func parse(t *testing.T, text string) *flowhook.Config {
	t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	return cfg
}

// recorder is a limiter that records calls and has attempts without end.
type recorder struct{ taken, givenBack [][]ratelimit.Bucket }

func (r *recorder) Take(_ context.Context, b []ratelimit.Bucket) (time.Duration, int, error) {
	r.taken = append(r.taken, b)
	return 0, 0, nil
}

func (r *recorder) GiveBack(_ context.Context, b []ratelimit.Bucket) error {
	r.givenBack = append(r.givenBack, b)
	return nil
}

func recording(t *testing.T, text string) (*flowhook.Pipeline, *recorder) {
	t.Helper()
	r := &recorder{}
	limit, err := ratelimit.New(ratelimit.Options{Key: keysOf, Limiter: r})
	require.NoError(t, err)
	return pipelineWith(t, text, limit), r
}

func before(t *testing.T, p *flowhook.Pipeline, ctx context.Context) {
	t.Helper()
	_, err := p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
}

// A failed attempt costs one call, and a successful one two.
func TestRateLimit_Calls(t *testing.T) {
	p, r := recording(t, basic)
	x, ctx := exchange(t, "alice")
	before(t, p, ctx)
	require.Len(t, r.taken, 1)
	require.Len(t, r.taken[0], 3)
	x.Identity = &flowhook.Identity{ID: "id"}
	_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, r.taken, r.givenBack)

	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Len(t, r.givenBack, 1, "they were given back already")
}

// The attempts are kept until a flow succeeds, because the host may call Complete again.
func TestRateLimit_CompleteAgain(t *testing.T) {
	p, r := recording(t, basic)
	x, ctx := exchange(t, "alice")
	before(t, p, ctx)
	x.Identity = &flowhook.Identity{ID: "id"}
	conflict := errors.New("conflict")
	_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error { return conflict })
	require.ErrorIs(t, err, conflict)
	require.Empty(t, r.givenBack)
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, r.taken, r.givenBack)
}

// A transaction that is rolled back after the hook has run gives nothing back.
func TestRateLimit_LaterHookFails(t *testing.T) {
	cfg := parse(t, basic)
	fails := true
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "later",
		flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
			if fails {
				return errors.New("on purpose")
			}
			return nil
		}))
	r := &recorder{}
	limit, err := ratelimit.New(ratelimit.Options{Key: keysOf, Limiter: r})
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{Store: memstore.New(), Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory}})
	require.NoError(t, err)
	x, ctx := exchange(t, "alice")
	before(t, p, ctx)
	x.Identity = &flowhook.Identity{ID: "id"}
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.ErrorContains(t, err, "on purpose")
	require.Empty(t, r.givenBack)
	fails = false
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, r.taken, r.givenBack)
}

// If a host tries several accounts in one request, the success of one does not give back the failed
// attempts on the others.
func TestRateLimit_SeveralInOneRequest(t *testing.T) {
	p, r := recording(t, basic)
	x, ctx := exchange(t, "alice")
	before(t, p, ctx)
	x.Request.PostForm.Set("email", "mallory")
	before(t, p, ctx)
	x.Identity = &flowhook.Identity{ID: "mallory"}
	_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Len(t, r.taken, 2)
	require.NotEqual(t, r.taken[0], r.taken[1])
	require.Equal(t, r.taken[1:], r.givenBack)
}

// Two entries at after give the attempts of two entries at before back once, in one call.
func TestRateLimit_TwoEntries(t *testing.T) {
	p, r := recording(t, `selfservice:
  flows:
    login:
      before:
        hooks:
          - {hook: rate_limit, config: {limits: [{by: pair, tries: 5, every: 1m}]}}
          - {hook: rate_limit, config: {name: slow, limits: [{by: pair, tries: 50, every: 1h}]}}
      after:
        hooks:
          - hook: rate_limit
        password:
          hooks:
            - hook: rate_limit
`)
	x, ctx := exchange(t, "alice")
	before(t, p, ctx)
	x.Identity = &flowhook.Identity{ID: "id"}
	_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Len(t, r.taken, 2)
	require.Len(t, r.givenBack, 1)
	require.ElementsMatch(t, append(r.taken[0], r.taken[1]...), r.givenBack[0])
}

// A reload while a request is running does not lose its attempts.
func TestRateLimit_Reload(t *testing.T) {
	p, r := recording(t, basic)
	x, ctx := exchange(t, "alice")
	before(t, p, ctx)
	require.NoError(t, p.Reload(parse(t, basic)))
	x.Identity = &flowhook.Identity{ID: "id"}
	_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, r.taken, r.givenBack)
}

// A job has no request, so nobody is guessing.
func TestRateLimit_NoRequest(t *testing.T) {
	p, r := recording(t, basic)
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "id"}}
	ctx := flowhook.NewContext(t.Context(), x)
	before(t, p, ctx)
	_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Empty(t, r.taken)
	require.Empty(t, r.givenBack)
}

// The attempts of requests that have failed are forgotten.
func TestRateLimit_FailedRequestsTakeNoMemory(t *testing.T) {
	limit, err := ratelimit.New(ratelimit.Options{Key: keysOf, Limiter: endless{}})
	require.NoError(t, err)
	p := pipelineWith(t, basic, limit)
	attempts := func(n int) {
		for range n {
			_, ctx := exchange(t, strings.Repeat("alice", 100))
			before(t, p, ctx)
		}
	}
	attempts(1000)
	const most = 4 << 20 // 20,000 that are not forgotten take more than 10 MB
	was := inUse()
	attempts(20_000)
	deadline := time.Now().Add(20 * time.Second)
	for inUse()-was > most && time.Now().Before(deadline) { // cleanups run after a collection
		runtime.Gosched()
	}
	require.LessOrEqual(t, inUse()-was, int64(most))
	runtime.KeepAlive(limit)
}

// endless is a limiter that has attempts without end.
type endless struct{}

func (endless) Take(context.Context, []ratelimit.Bucket) (time.Duration, int, error) {
	return 0, 0, nil
}
func (endless) GiveBack(context.Context, []ratelimit.Bucket) error { return nil }
