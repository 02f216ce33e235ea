package relational_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// A server is a database without tables. Its locks work unless they are ignored.
type server struct {
	ignored bool
	locks   sync.Map     // a *sync.Mutex for each identity
	count   atomic.Int32 // of locks that transactions have asked for
	commit  func() error // nil: a commit succeeds
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
	held []*sync.Mutex
}

func (t *tx) Lock(_ context.Context, identityID string) error {
	if !t.ignored {
		lock, _ := t.locks.LoadOrStore(identityID, new(sync.Mutex))
		t.held = append(t.held, lock.(*sync.Mutex))
		t.held[len(t.held)-1].Lock()
	}
	t.count.Add(1)
	return nil
}

func (t *tx) Lend() error   { return nil }
func (t *tx) Intact() error { return nil }
func (t *tx) Rollback()     {}
func (t *tx) Abort()        {}

func (t *tx) Commit() error {
	if t.commit == nil {
		return nil
	}
	return t.commit()
}

func (t *tx) Close() {
	for _, lock := range t.held {
		lock.Unlock()
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
	require.NoError(t, newStore(&server{}).Verify(t.Context(), 0))
	require.ErrorContains(t, newStore(&server{ignored: true}).Verify(t.Context(), 0), "set Options.RowLocks")
}

func TestVerify_PoolOfOne(t *testing.T) {
	require.ErrorContains(t, newStore(&server{}).Verify(t.Context(), 1), "the pool is limited to one")
	require.NoError(t, newStore(&server{}).Verify(t.Context(), 2))
}

// A commit with an unknown outcome is not a canceled call, which would mean that nothing was saved.
func TestVerify_UnknownOutcome(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	db := &server{commit: func() error {
		cancel()
		return fmt.Errorf("%w (lost)", relational.ErrUnknownOutcome)
	}}
	err := newStore(db).Verify(ctx, 0)
	require.ErrorIs(t, err, relational.ErrUnknownOutcome)
	require.NotErrorIs(t, err, context.Canceled)
}

func TestVerify_InTransaction(t *testing.T) {
	s := newStore(&server{})
	require.NoError(t, s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		require.ErrorContains(t, s.Verify(ctx, 0), "when the service starts")
		return nil
	}))
}

func TestVerify_ContextEnds(t *testing.T) {
	s := newStore(&server{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Verify(ctx, 0), context.Canceled)
}

// stateError is an error of PostgreSQL.
type stateError string

func (e stateError) Error() string    { return string(e) }
func (e stateError) SQLState() string { return string(e) }

func TestPostgreSQLFailure(t *testing.T) {
	for state, want := range map[stateError]relational.Failure{
		"": relational.Unknown, "40001": relational.Conflict, "40P01": relational.Conflict, "55P03": relational.Conflict,
		"57014": relational.TimedOut, "57P01": relational.Lost, "57P02": relational.Lost, "23505": relational.Duplicate,
		"08P01": relational.Unclear, "08006": relational.Unclear, "40003": relational.Unclear, "42601": relational.Other,
	} {
		require.Equal(t, want, relational.FailureOf(fmt.Errorf("commit: %w", state), relational.PostgreSQLFailure), state)
	}
	for f, dead := range map[relational.Failure]bool{
		relational.Unknown: true, relational.Lost: true, relational.Unclear: true, relational.Other: false,
		relational.Conflict: false, relational.TimedOut: false, relational.Duplicate: false, relational.Over: false,
	} {
		require.Equal(t, dead, f.MayBeDead(), f)
	}
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
