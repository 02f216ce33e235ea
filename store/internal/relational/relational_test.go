package relational_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// A server is a database without tables. Its lock works unless it is ignored.
type server struct {
	ignored bool
	lock    sync.Mutex
	count   atomic.Int32 // of locks that transactions have asked for
}

func (s *server) Begin(_ context.Context, identityID string) (relational.Tx, error) {
	t := &tx{server: s}
	if identityID == "" {
		return t, nil
	}
	return t, t.Lock(context.Background(), identityID)
}

func (s *server) Exec(context.Context, string, ...any) (int64, error) { return 0, nil }

func (s *server) Query(context.Context, string, []any, func(func(...any) error) error) error {
	return nil
}

type tx struct {
	*server
	locked bool
}

func (t *tx) Lock(context.Context, string) error {
	if !t.ignored {
		t.lock.Lock()
		t.locked = true
	}
	t.count.Add(1)
	return nil
}

func (t *tx) Lend() error   { return nil }
func (t *tx) Intact() error { return nil }
func (t *tx) Commit() error { return nil }
func (t *tx) Rollback()     {}
func (t *tx) Abort()        {}

func (t *tx) Close() {
	if t.locked {
		t.lock.Unlock()
	}
}

func newStore(s *server) *relational.Store {
	return &relational.Store{
		Name: "teststore", Database: s, Pool: s, Queries: relational.PostgreSQL.Queries(),
		Failure: relational.PostgreSQLFailure,
	}
}

// An otherServer is a server of another kind.
type otherServer struct{ *server }

func (s otherServer) Begin(ctx context.Context, identityID string) (relational.Tx, error) {
	t, err := s.server.Begin(ctx, identityID)
	return &otherTx{t}, err
}

type otherTx struct{ relational.Tx }

// A transaction of another kind of store does not hide the one around it.
func TestFind_OtherKindOfStore(t *testing.T) {
	db, other := &server{}, otherServer{&server{}}
	outer := newStore(db)
	inner := &relational.Store{
		Name: "otherstore", Database: other, Pool: other, Queries: relational.PostgreSQL.Queries(),
		Failure: relational.PostgreSQLFailure,
	}
	_, ok := relational.Find[*tx](t.Context())
	require.False(t, ok)
	require.NoError(t, outer.Transaction(t.Context(), "a", func(ctx context.Context) error {
		_, ok := relational.Find[*otherTx](ctx)
		require.False(t, ok)
		return inner.Transaction(ctx, "a", func(ctx context.Context) error {
			found, ok := relational.Find[*tx](ctx)
			require.True(t, ok)
			require.Same(t, db, found.server)
			_, ok = relational.Find[*otherTx](ctx)
			require.True(t, ok)
			return nil
		})
	}))
}

func TestVerify(t *testing.T) {
	require.NoError(t, newStore(&server{}).Verify(t.Context()))
	require.ErrorContains(t, newStore(&server{ignored: true}).Verify(t.Context()), "set Options.RowLocks")
}

func TestVerify_InTransaction(t *testing.T) {
	s := newStore(&server{})
	require.NoError(t, s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		require.ErrorContains(t, s.Verify(ctx), "when the service starts")
		return nil
	}))
}

func TestVerify_ContextEnds(t *testing.T) {
	s := newStore(&server{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Verify(ctx), context.Canceled)
}

// A transaction that holds the lock of an identity does not ask for it again, unless the host may
// have released it by rolling back to a savepoint.
func TestTransaction_JoinsHeldIdentity(t *testing.T) {
	for _, lent := range []bool{false, true} {
		db := &server{ignored: true}
		s := newStore(db)
		nothing := func(context.Context) error { return nil }
		require.NoError(t, s.Transaction(t.Context(), "a", func(ctx context.Context) error {
			if lent {
				_, _, ok := relational.Lend[*tx](ctx)
				require.True(t, ok)
			}
			return errors.Join(s.Transaction(ctx, "a", nothing), s.Transaction(ctx, "b", nothing), s.Transaction(ctx, "b", nothing))
		}))
		require.Equal(t, map[bool]int{false: 2, true: 3}[lent], int(db.count.Load()))
	}
}
