package flowhook_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

func TestAllocations(t *testing.T) {
	point := at(flowhook.Login, flowhook.After, flowhook.Password)
	for _, row := range []struct {
		name  string
		hooks int
	}{
		{"three hooks that do nothing", 3},
		{"a point without hooks", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, ran := new(flowhook.Config), 0
			for range row.hooks {
				cfg.Add(point, "counts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil }))
			}
			p, err := flowhook.New(cfg, flowhook.Options{})
			require.NoError(t, err)
			require.Zero(t, allocatedBy(t, p, point))
			require.Equal(t, row.hooks*(allocationRuns+1), ran) // one to warm up
			t.Logf("%s: no allocation", row.name)
		})
	}
}

const allocationRuns = 100

// allocatedBy returns how often the first Run of an exchange allocates. What the host allocates, the
// exchange and its context, does not count.
func allocatedBy(t *testing.T, p *flowhook.Pipeline, point flowhook.Point) float64 {
	w, r := httptest.NewRecorder(), newRequest()
	who := &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{
		{Via: "email", Value: "alice@example.com"}, {Via: "email", Value: "alice@example.org"}}}
	var ctx context.Context
	request := func() {
		ctx = flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: w, Request: r, Identity: who})
	}
	host := testing.AllocsPerRun(allocationRuns, request)
	return testing.AllocsPerRun(allocationRuns, func() {
		request()
		if handled, err := p.Run(ctx, point.Flow, point.Phase, point.Strategy); handled || err != nil {
			t.Fatal(handled, err)
		}
	}) - host
}
