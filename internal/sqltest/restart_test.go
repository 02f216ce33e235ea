package sqltest

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// When the server has ended all connections of the pool, as it does when it restarts, logins
// succeed at once.
func TestRestart(t *testing.T) {
	const logins = 12
	eachWire(t, func(t *testing.T, s system) {
		source := s.newSource(t)
		p := s.pool(t, source+s.options, logins)
		a := newApp(t, p, patience, true)
		for range 2 { // pgx checks a connection when it is used for the second time
			require.NoError(t, a.loginAtOnce(t, logins))
		}
		inUse, total := p.connections()
		require.Zero(t, inUse)
		require.Equal(t, logins, total)

		s.terminateOthers(t, source)
		require.NoError(t, a.loginAtOnce(t, logins))
	})
}

// loginAtOnce logs in so many identities. All of them are in the transaction at the same time.
func (a *app) loginAtOnce(t testing.TB, n int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var inside, running sync.WaitGroup
	inside.Add(n)
	all := make(chan struct{})
	go func() { inside.Wait(); close(all) }()
	errs := make(chan error, n)
	for i := range n {
		running.Go(func() {
			enter := sync.OnceFunc(inside.Done)
			defer enter() // if save is not called
			x := exchange(ctx, &flowhook.Identity{ID: "user " + itoa(i)}, nil)
			errs <- a.complete(ctx, flowhook.Login, x, func(ctx context.Context) error {
				enter()
				<-all
				return a.insert(ctx, newID())
			})
		})
	}
	running.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// terminateOthers makes the server end all other connections to a database, and waits for that.
func (s system) terminateOthers(t testing.TB, source string) {
	t.Helper()
	db := s.database.connect(t, source)
	db.SetMaxOpenConns(1)
	rows, err := db.QueryContext(testContext(t), s.database.others)
	require.NoError(t, err)
	var ids []int
	for rows.Next() {
		var id int
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, ids)
	for _, id := range ids {
		exec(t, db, s.database.terminate(id))
	}
	waitUntil(t, func() string {
		if count(t, db, "SELECT count(*) FROM ("+s.database.others+") AS o") > 0 {
			return "the server has not ended the connections"
		}
		return ""
	})
}
