package sqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A transaction whose context ends is rolled back at once, even if its function goes on. Another
// one does not wait for it.
func TestTransaction_ContextEndsInFunction(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		outer, cancel := context.WithCancel(testContext(t))
		require.ErrorIs(t, s.Transaction(outer, "a", func(context.Context) error {
			cancel()
			return s.Transaction(testContext(t), "a", func(context.Context) error { return nil })
		}), context.Canceled)
	})
}

// A call whose context has ended makes the transaction fail, even if a hook ignores the error.
func TestTransaction_CallWithEndedContext(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		first, second := newSession("a"), newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, first))
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, err := s.FindSession(ended, first.ID)
			require.ErrorIs(t, err, context.Canceled)
			require.Error(t, s.CreateSession(ctx, second), "a write after the failure")
			require.Error(t, s.DeleteToken(ctx, hashOf("token")), "a deletion after the failure")
			tx, _ := sqlstore.Tx(ctx)
			_, err = tx.ExecContext(ctx, "DELETE FROM flowhook_sessions")
			require.ErrorIs(t, err, sql.ErrTxDone, "a statement of the host after the failure")
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		requireNone(t, s, first.ID, second.ID)
	})
}

// A transaction that has waited for an identity sees what the one before it committed, whatever the
// default isolation level is.
func TestTransaction_IsolationLevel(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		for _, level := range []string{"repeatable read", "serializable"} {
			t.Run(level, func(t *testing.T) {
				s, err := sqlstore.New(d.connect(t, d.migrated(t)+d.isolation(level)), d.dialect)
				require.NoError(t, err)
				requireOneSession(t, s)
			})
		}
	})
}

// If two transactions wait for each other's rows, one of them returns a conflict.
func TestTransaction_Deadlock(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		rows := [2]flowhook.Session{newSession("a"), newSession("a")}
		for _, v := range rows {
			require.NoError(t, s.CreateSession(testContext(t), v))
		}
		var in [2]chan struct{}
		var done [2]chan error
		for i := range in {
			in[i], done[i] = make(chan struct{}), make(chan error, 1)
		}
		for i := range in {
			go func() {
				done[i] <- s.Transaction(testContext(t), "", func(ctx context.Context) error {
					if err := s.DeleteSession(ctx, rows[i].ID); err != nil {
						return err
					}
					close(in[i])
					<-in[1-i]
					return s.DeleteSession(ctx, rows[1-i].ID)
				})
			}()
		}
		errs := []error{<-done[0], <-done[1]}
		if errs[0] == nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		require.ErrorIs(t, errs[0], sqlstore.ErrConflict)
		require.NoError(t, errs[1])
	})
}

// Two stores on different pools have transactions of their own in one context. A call uses the one
// of its own store.
func TestTransaction_TwoStores(t *testing.T) {
	one, _ := sqlite.store(t)
	two, _ := sqlite.store(t)
	v := newSession("a")
	_, ok := sqlstore.Tx(context.Background())
	require.False(t, ok)
	_, ok = sqlstore.Conn(context.Background())
	require.False(t, ok)
	err := one.Transaction(testContext(t), "a", func(ctx context.Context) error {
		first, ok := sqlstore.Tx(ctx)
		require.True(t, ok)
		err := two.Transaction(ctx, "a", func(ctx context.Context) error {
			second, ok := sqlstore.Tx(ctx)
			require.True(t, ok)
			require.NotSame(t, first, second, "Tx returns the innermost transaction")
			require.NoError(t, one.CreateSession(ctx, v))
			return two.CreateSession(ctx, v)
		})
		require.NoError(t, err)
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	requireNone(t, one, v.ID)
	_, err = two.FindSession(testContext(t), v.ID)
	require.NoError(t, err, "the transaction of the other store committed")
}

// The store needs only one connection to prepare what it keeps for later transactions. It recovers
// from a first transaction that ran before the migrations.
func TestTransaction_OneConnection(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, id := testContext(t), rand.Text()
		db := d.connect(t, d.source(t))
		db.SetMaxOpenConns(1)
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		login := func() error {
			return s.Transaction(ctx, id, func(ctx context.Context) error {
				if err := s.DeleteSessions(ctx, id, ""); err != nil {
					return err
				}
				return s.CreateSession(ctx, newSession(id))
			})
		}
		require.Error(t, login(), "there are no tables")

		_, err = d.migrations(t, db).Up(ctx)
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, login())
		}
		left, err := s.ListSessions(ctx, id, newSession(id).IssuedAt, 10)
		require.NoError(t, err)
		require.Len(t, left, 1)
	})
}

// A preparing connection prepares every statement.
type preparing struct{ driver.Conn }

func (c preparing) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

type preparingConnector struct{ *recorder }

func (p preparingConnector) Connect(context.Context) (driver.Conn, error) {
	c, err := p.under.Open(p.source)
	return preparing{c}, err
}

// The store can also commit and roll back on a connection that cannot run unprepared statements.
func TestTransaction_ConnectionThatPrepares(t *testing.T) {
	d := mariaDB
	source := d.migrated(t)
	_, r := d.record(t, source)
	db := sql.OpenDB(preparingConnector{r})
	t.Cleanup(func() { db.Close() })
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	kept, refused := newSession("a"), newSession("a")
	require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		return s.CreateSession(ctx, kept)
	}))
	require.ErrorIs(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, refused))
		return errRefused
	}), errRefused)
	_, err = s.FindSession(testContext(t), kept.ID)
	require.NoError(t, err)
	requireNone(t, s, refused.ID)

	// After a commit, autocommit is on again: what is stored outside a transaction stays.
	require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		return s.CreateSession(ctx, newSession("a"))
	}))
	alone := newSession("a")
	require.NoError(t, s.CreateSession(testContext(t), alone))
	other, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	_, err = other.FindSession(testContext(t), alone.ID)
	require.NoError(t, err)
}
