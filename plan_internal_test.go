package flowhook

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlan_GoroutinesOfOneRequest lets several goroutines be the first to use an exchange during a
// reload. It is an internal test, because the moment is too short to hit from outside.
func TestPlan_GoroutinesOfOneRequest(t *testing.T) {
	p, err := New(nil, Options{})
	require.NoError(t, err)
	plans := [2]*Plan{{pipeline: p}, {pipeline: p}}
	const requests, goroutines = 2_000, 4
	seen := make([][goroutines]*Plan, requests)
	exchanges := make([]Exchange, requests)
	var next [goroutines]atomic.Int64 // keeps the goroutines of one request together
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for r := range exchanges {
				next[g].Store(int64(r))
				for o := range next {
					for next[o].Load() < int64(r) {
						runtime.Gosched()
					}
				}
				p.current.Store(plans[(r+g/2)%2])
				seen[r][g] = p.serving(&exchanges[r])
			}
		})
	}
	all.Wait()
	for r := range exchanges {
		for g := range goroutines {
			require.Same(t, p.serving(&exchanges[r]), seen[r][g], "request %d", r)
		}
	}
}
