package flowhook

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Several goroutines of one request may be the first to use its exchange, with several pipelines, while these are reloaded.
// From inside, because the moment is too short for anything that does more than look.
func TestGoroutinesOfOneRequestAreServedByOneConfiguration(t *testing.T) {
	var pipelines [2]*Pipeline
	var plans [2][2]*plan
	for i := range pipelines {
		for j := range plans[i] {
			p, err := New(nil, Options{})
			require.NoError(t, err)
			if j == 0 {
				pipelines[i] = p
			}
			plans[i][j] = p.current.Load()
			plans[i][j].pipeline = pipelines[i]
		}
	}
	const requests, goroutines = 2_000, 4
	seen := make([][goroutines]*plan, requests)
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
				p := pipelines[g%2]
				p.current.Store(plans[g%2][(r+g/2)%2])
				seen[r][g] = p.plan(&exchanges[r])
			}
		})
	}
	all.Wait()
	for r := range exchanges {
		for g := range goroutines {
			require.Same(t, pipelines[g%2].plan(&exchanges[r]), seen[r][g], "request %d", r)
		}
	}
}
