package otelflowhook_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// Concurrent runs of a flow-wide hook are counted in the series of their strategies.
func TestHook_ConcurrentRuns(t *testing.T) {
	r := newRig(t)
	pipeline := r.pipeline(loginWide, "gate", act(nothing))
	strategies := []flowhook.Strategy{flowhook.Password, flowhook.OIDC, flowhook.Code, flowhook.Passkey}
	const goroutines, runs = 8, 25 // runs of each strategy in each goroutine
	var wait sync.WaitGroup
	for range goroutines {
		wait.Go(func() {
			for range runs {
				for _, strategy := range strategies {
					ctx, _ := newExchange(t.Context())
					_, err := pipeline.Run(ctx, flowhook.Login, flowhook.After, strategy)
					assert.NoError(t, err)
				}
			}
		})
	}
	wait.Wait()

	want := map[string]uint64{}
	for _, strategy := range strategies {
		want[string(strategy)] = goroutines * runs
	}
	spans, durations := map[string]uint64{}, map[string]uint64{}
	for _, s := range r.spans.GetSpans() {
		spans[attributes(s.Attributes)["flowhook.strategy"]]++
	}
	for _, d := range r.durations() {
		durations[attributes(d.Attributes.ToSlice())["flowhook.strategy"]] = d.Count
	}
	assert.Equal(t, want, spans)
	assert.Equal(t, want, durations)
}

// A new pipeline wraps the same hooks again. Their runs are counted in the same series.
func TestWrap_SameHookAgain(t *testing.T) {
	r := newRig(t)
	shared := r.wrap()
	for _, wrap := range []func(flowhook.Point, string, flowhook.Hook) flowhook.Hook{shared, shared, r.wrap()} {
		var cfg flowhook.Config
		cfg.Add(loginAfter, "gate", act(nothing))
		pipeline, err := flowhook.New(&cfg, flowhook.Options{Wrap: wrap})
		require.NoError(t, err)
		ctx, _ := newExchange(t.Context())
		_, err = pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)
	}
	durations := r.durations()
	require.Len(t, durations, 1)
	assert.Equal(t, uint64(3), durations[0].Count)
}
