package sqltest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
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

// So does any other call, even if no connection of the pool is alive.
func TestRestart_OtherCalls(t *testing.T) {
	const connections = 3
	eachWire(t, func(t *testing.T, s system) {
		source := s.newSource(t)
		p := s.pool(t, source+s.options, connections)
		a := newApp(t, p, patience, true)
		now := time.Now()
		for name, call := range map[string]func(ctx context.Context) error{
			"FindSession": func(ctx context.Context) error {
				_, err := a.store.FindSession(ctx, "none")
				require.ErrorIs(t, err, flowhook.ErrNotFound)
				return nil
			},
			"ListSessions": func(ctx context.Context) error {
				_, err := a.store.ListSessions(ctx, "none", now, 10)
				return err
			},
			"DeleteSession": func(ctx context.Context) error { return a.store.DeleteSession(ctx, "none") },
			"CreateToken": func(ctx context.Context) error {
				_, err := a.store.CreateToken(ctx, flowhook.Token{
					Hash: []byte(newID()), Purpose: flowhook.PurposeRecovery, IdentityID: newID(),
					Address: flowhook.Address{Via: "email", Value: "a@example.org"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
				}, now)
				return err
			},
			"ConsumeToken": func(ctx context.Context) error {
				_, err := a.store.ConsumeToken(ctx, flowhook.PurposeRecovery, []byte("none"), now)
				require.ErrorIs(t, err, flowhook.ErrNotFound)
				return nil
			},
			"CountAttempt": func(ctx context.Context) error {
				_, err := a.store.CountAttempt(ctx, flowhook.PurposeRecovery, "a", flowhook.Address{}, now)
				return err
			},
		} {
			for range 2 {
				require.NoError(t, a.loginAtOnce(t, connections))
			}
			s.terminateOthers(t, source)
			require.NoError(t, call(testContext(t)), name)
		}
	})
}

// If the server, or a proxy such as PgBouncer, reports a broken connection in place of the answer to
// a commit, the outcome is unknown.
func TestCommit_BrokenConnectionIsReported(t *testing.T) {
	eachSystem(t, func(t *testing.T, s system) {
		if s.database.dialect != sqlstore.PostgreSQL {
			return
		}
		st, db := s.store(t)
		for _, statement := range []string{
			`CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN RAISE EXCEPTION 'server conn crashed?' USING ERRCODE = '08P01'; END $$`,
			`CREATE CONSTRAINT TRIGGER broken AFTER INSERT ON flowhook_sessions DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW EXECUTE FUNCTION broken()`,
		} {
			_, err := db.Exec(statement)
			require.NoError(t, err)
		}
		err := st.Transaction(testContext(t), "a", func(ctx context.Context) error {
			return st.CreateSession(ctx, newSession("a"))
		})
		require.ErrorIs(t, err, sqlstore.ErrUnknownOutcome)
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
