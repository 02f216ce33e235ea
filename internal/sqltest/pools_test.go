package sqltest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
)

// Many logins at once, with joined transactions, do not wait for each other in a circle, however
// few connections the pool has. In the end each identity has one session.
func TestPools(t *testing.T) {
	const workers = 64
	identities := []string{"a", "b", "c"}
	for _, s := range systems {
		source := s.newSource(t)
		for _, connections := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s/%d connections", s.name, connections), func(t *testing.T) {
				a := newApp(t, s.pool(t, source+s.options, connections), patience, true)
				times := testkit.Times(t, 20)
				ctx := testContext(t)
				errs := make(chan error, workers*times)
				var running sync.WaitGroup
				for w := range workers {
					running.Go(func() {
						for n := range times {
							errs <- a.joiningLogin(ctx, identities[(w+n)%len(identities)])
						}
					})
				}
				running.Wait()
				close(errs)
				for err := range errs {
					require.NoError(t, err)
				}
				for _, id := range identities {
					sessions, err := a.store.ListSessions(testContext(t), id, newSession(id).IssuedAt, 100)
					require.NoError(t, err)
					require.Len(t, sessions, 1)
				}
				inUse, total := a.connections()
				require.Zero(t, inUse)
				require.LessOrEqual(t, total, connections)
			})
		}
	}
}

// joiningLogin is a login whose save joins the transaction, with the same identity and without one.
func (a *app) joiningLogin(ctx context.Context, id string) error {
	row := func(ctx context.Context) error { return a.insert(ctx, newID()) }
	x := exchange(ctx, &flowhook.Identity{ID: id}, nil)
	return a.complete(ctx, flowhook.Login, x, func(ctx context.Context) error {
		if err := a.store.Transaction(ctx, id, row); err != nil {
			return err
		}
		return a.store.Transaction(ctx, "", row)
	})
}
