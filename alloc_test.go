package flowhook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// A request allocates the exchange, the copies of its request and of its context that carry the
// exchange, the closure of the transaction, and a copy of the identity's addresses.
func TestComplete_Allocations(t *testing.T) {
	const runs = 100
	for _, row := range []struct {
		name       string
		addresses  []flowhook.Address
		hooks, max int
	}{
		{"three_hooks", []flowhook.Address{{Via: "email", Value: "alice@example.com"}}, 3, 5},
		{"three_hooks_without_addresses", nil, 3, 4},
		{"no_hooks", nil, 0, 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, ran := new(flowhook.Config), 0
			for range row.hooks {
				cfg.Add(loginAfter, "counts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil }))
			}
			p, err := flowhook.New(cfg, flowhook.Options{})
			require.NoError(t, err)
			identity := &flowhook.Identity{ID: "alice"}
			handler := p.Middleware(flowhook.Login)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				identity.Addresses = row.addresses
				flowhook.MustFromContext(r.Context()).Identity = identity
				if handled, err := p.Complete(r.Context(), flowhook.Login, flowhook.Password, nil); handled || err != nil {
					t.Fatal(handled, err)
				}
			}))
			w, r := httptest.NewRecorder(), newRequest()
			allocated := testing.AllocsPerRun(runs, func() { handler.ServeHTTP(w, r) })
			require.LessOrEqual(t, int(allocated), row.max)
			require.Equal(t, row.hooks*(runs+1), ran) // one to warm up
		})
	}
}
