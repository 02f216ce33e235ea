package pgxstore_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
)

func newSession(id string) flowhook.Session {
	now := time.Now()
	return flowhook.Session{ID: id, IdentityID: "a", AuthenticatedAt: now, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
}

func newStore(t *testing.T, pool *pgxpool.Pool) *pgxstore.Store {
	t.Helper()
	s, err := pgxstore.New(pool)
	require.NoError(t, err)
	return s
}

// The host's statements see what the store's have written, and are committed with them.
func TestTx_HostStatements(t *testing.T) {
	pool := newPool(t)
	s := newStore(t, pool)
	_, ok := pgxstore.Tx(t.Context())
	require.False(t, ok)
	_, err := pool.Exec(t.Context(), "CREATE TABLE users (id text PRIMARY KEY)")
	require.NoError(t, err)
	for _, identityID := range []string{"a", ""} { // without an identity, the first statement begins
		require.NoError(t, s.Transaction(t.Context(), identityID, func(ctx context.Context) error {
			tx, ok := pgxstore.Tx(ctx)
			require.True(t, ok)
			require.NoError(t, s.CreateSession(ctx, newSession("of "+identityID)))
			var sessions int
			require.NoError(t, tx.QueryRow(ctx, "SELECT count(*) FROM flowhook_sessions WHERE id = $1", "of "+identityID).Scan(&sessions))
			require.Equal(t, 1, sessions)
			_, err := tx.Exec(ctx, "INSERT INTO users (id) VALUES ($1)", "user "+identityID)
			return err
		}))
	}
	var users int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&users))
	require.Equal(t, 2, users)
}

func TestTx_HostCommits(t *testing.T) {
	s := newStore(t, newPool(t))
	require.NoError(t, s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		tx, _ := pgxstore.Tx(ctx)
		require.ErrorContains(t, tx.Commit(ctx), "the store commits")
		return s.CreateSession(ctx, newSession("kept"))
	}))
	_, err := s.FindSession(t.Context(), "kept")
	require.NoError(t, err)
}

func TestTx_HostRollsBack(t *testing.T) {
	s := newStore(t, newPool(t))
	err := s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, newSession("gone")))
		tx, _ := pgxstore.Tx(ctx)
		require.NoError(t, tx.Rollback(ctx))
		_, err := tx.Exec(ctx, "DELETE FROM flowhook_sessions")
		require.ErrorIs(t, err, pgx.ErrTxClosed)
		return nil
	})
	require.ErrorContains(t, err, "the host has rolled the transaction back")
	_, err = s.FindSession(t.Context(), "gone")
	require.ErrorIs(t, err, flowhook.ErrNotFound)
}

// PostgreSQL rolls back if the host ignores the error of a statement.
func TestTx_HostIgnoresError(t *testing.T) {
	s := newStore(t, newPool(t))
	require.Error(t, s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, newSession("gone")))
		tx, _ := pgxstore.Tx(ctx)
		_, err := tx.Exec(ctx, "SELECT 1 / 0")
		require.Error(t, err)
		return nil
	}))
	_, err := s.FindSession(t.Context(), "gone")
	require.ErrorIs(t, err, flowhook.ErrNotFound)
}

// The context ends while the function goes on. The next transaction of the identity does not wait
// for it.
func TestTransaction_ContextEndsInFunction(t *testing.T) {
	s := newStore(t, newPool(t))
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, s.Transaction(ctx, "a", func(ctx context.Context) error {
		cancel()
		return s.Transaction(t.Context(), "a", func(ctx context.Context) error {
			return s.CreateSession(ctx, newSession("kept"))
		})
	}), context.Canceled)
	_, err := s.FindSession(t.Context(), "kept")
	require.NoError(t, err)
}

// A server that limits statements ends the wait for an identity. That is a conflict.
func TestTransaction_StatementTimeout(t *testing.T) {
	pool := newPool(t)
	u, err := url.Parse(pool.Config().ConnString())
	require.NoError(t, err)
	u.RawQuery = "statement_timeout=50"
	hurried, err := pgxpool.New(t.Context(), u.String())
	require.NoError(t, err)
	t.Cleanup(hurried.Close)
	s, other := newStore(t, pool), newStore(t, hurried)
	require.NoError(t, s.Transaction(t.Context(), "a", func(context.Context) error {
		nothing := func(context.Context) error { return nil }
		require.ErrorIs(t, other.Transaction(t.Context(), "a", nothing), sqlstore.ErrConflict, "at the beginning")
		err := other.Transaction(t.Context(), "b", func(ctx context.Context) error { return other.Transaction(ctx, "a", nothing) })
		require.ErrorIs(t, err, pgxstore.ErrConflict, "when it joins")
		require.True(t, pgxstore.IsConflict(err))
		return nil
	}))
}

func TestVerify(t *testing.T) {
	pool := newPool(t)
	require.NoError(t, newStore(t, pool).Verify(t.Context()))
	for connections, want := range map[int32]string{1: "the pool is limited to one", 2: ""} {
		config := pool.Config()
		config.MaxConns = connections
		limited, err := pgxpool.NewWithConfig(context.Background(), config)
		require.NoError(t, err)
		err = newStore(t, limited).Verify(t.Context())
		limited.Close()
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
}

// Without the row of its identity, a transaction would not wait.
func TestTransaction_RowIsMissing(t *testing.T) {
	pool := newPool(t)
	s, err := pgxstore.NewWithOptions(pool, pgxstore.Options{RowLocks: true})
	require.NoError(t, err)
	require.NoError(t, s.Verify(t.Context()))
	_, err = pool.Exec(t.Context(), "DELETE FROM flowhook_locks")
	require.NoError(t, err)
	require.ErrorIs(t, s.Transaction(t.Context(), "a", func(context.Context) error { return nil }), pgx.ErrNoRows)
}

func TestNew_BadArguments(t *testing.T) {
	_, err := pgxstore.New(nil)
	require.ErrorContains(t, err, "the pool is nil")
	_, err = pgxstore.NewWithOptions(&pgxpool.Pool{}, pgxstore.Options{AnswerTimeout: -1})
	require.ErrorContains(t, err, "AnswerTimeout")
}
