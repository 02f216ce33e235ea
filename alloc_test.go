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
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{
				Writer:  httptest.NewRecorder(),
				Request: httptest.NewRequest("POST", "/login", nil),
				Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{
					{Via: "email", Value: "alice@example.com"}, {Via: "email", Value: "alice@example.org"}}},
			})
			const runs = 100
			allocations := testing.AllocsPerRun(runs, func() {
				if handled, err := p.Run(ctx, point.Flow, point.Phase, point.Strategy); handled || err != nil {
					t.Fatal(handled, err)
				}
			})
			require.Zero(t, allocations)
			require.Equal(t, row.hooks*(runs+1), ran) // one to warm up
			proof(t, "%s: no allocation", row.name)
		})
	}
}
