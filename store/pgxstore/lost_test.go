package pgxstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/pgxstore"
)

// A cuttableConn loses its connection after the first row of an answer, if cut is set. The server
// does not notice, and keeps its transaction open, until the test ends.
type cuttableConn struct {
	net.Conn
	cut  *atomic.Bool
	lost bool
}

func (c *cuttableConn) Read(b []byte) (int, error) {
	if c.lost {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b)
	if end := firstRow(b[:n]); end > 0 && c.cut.CompareAndSwap(true, false) {
		c.lost = true
		return end, nil
	}
	return n, err
}

func (c *cuttableConn) Close() error {
	if c.lost {
		return nil
	}
	return c.Conn.Close()
}

// firstRow returns where the first DataRow message in b ends, or 0.
func firstRow(b []byte) (end int) {
	for at := 0; at+5 <= len(b); {
		next := at + 1 + int(binary.BigEndian.Uint32(b[at+1:]))
		if b[at] == 'D' && next <= len(b) {
			return next
		}
		at = next
	}
	return 0
}

// cuttable returns a pool like another one, and a switch that cuts a connection.
func cuttable(t *testing.T, like *pgxpool.Pool) (*pgxpool.Pool, *atomic.Bool) {
	t.Helper()
	config := like.Config()
	config.ConnConfig.TLSConfig, config.ConnConfig.Fallbacks = nil, nil
	cut := new(atomic.Bool)
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		return &cuttableConn{Conn: conn, cut: cut}, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	// Two connections that pgx does not ping, because they were used just now.
	one, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	two, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	one.Release()
	two.Release()
	return pool, cut
}

// If the answer to the first statement is lost, the statement is not repeated: its row is still
// locked, so a second try would not find it.
func TestTransaction_FirstAnswerIsLost(t *testing.T) {
	pool := newPool(t)
	direct := newStore(t, pool)
	now := time.Now()
	token := flowhook.Token{Hash: []byte("hash"), Purpose: flowhook.PurposeVerification, IdentityID: "a",
		Address: flowhook.Address{Via: "email", Value: "a@example.org"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	created, err := direct.CreateToken(t.Context(), token, now)
	require.NoError(t, err)
	require.True(t, created)
	for _, id := range []string{"1", "2", "3"} {
		require.NoError(t, direct.CreateSession(t.Context(), newSession(id)))
	}

	unreliable, cut := cuttable(t, pool)
	s := newStore(t, unreliable)
	cut.Store(true)
	_, err = s.ConsumeToken(t.Context(), token.Purpose, token.Hash, now)
	require.Error(t, err)
	require.NotErrorIs(t, err, flowhook.ErrNotFound)
	require.False(t, cut.Load(), "a connection was cut")

	unreliable, cut = cuttable(t, pool)
	s = newStore(t, unreliable)
	cut.Store(true)
	err = s.Transaction(t.Context(), "", func(ctx context.Context) error {
		_, err := s.ListSessions(ctx, "a", now, 10)
		return err
	})
	require.Error(t, err)
	require.False(t, cut.Load(), "a connection was cut")
}

// A commit that was not sent has no unknown outcome.
func TestTransaction_CommitIsNotSent(t *testing.T) {
	s := newStore(t, newPool(t))
	err := s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		tx, _ := pgxstore.Tx(ctx)
		_, err := tx.Query(ctx, "SELECT generate_series(1, 3)") // the rows stay open
		return err
	})
	require.ErrorContains(t, err, "conn busy")
	require.NotErrorIs(t, err, pgxstore.ErrUnknownOutcome)
}

// If the host commits with a statement of its own, the store notices before it writes and before it
// commits.
func TestTransaction_HostCommitsByStatement(t *testing.T) {
	s := newStore(t, newPool(t))
	commit := func(ctx context.Context) error {
		tx, _ := pgxstore.Tx(ctx)
		_, err := tx.Exec(ctx, "COMMIT")
		return err
	}
	const ended = "the database has ended the transaction"
	require.ErrorContains(t, s.Transaction(t.Context(), "a", commit), ended)
	err := s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		require.NoError(t, commit(ctx))
		return s.CreateSession(ctx, newSession("lost"))
	})
	require.ErrorContains(t, err, ended)
	_, err = s.FindSession(t.Context(), "lost")
	require.ErrorIs(t, err, flowhook.ErrNotFound)
}

// An error of a constraint of the host's, which is checked at the commit, keeps its details.
func TestTransaction_HostsConstraint(t *testing.T) {
	pool := newPool(t)
	s := newStore(t, pool)
	_, err := pool.Exec(t.Context(), "CREATE TABLE users (name text UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	require.NoError(t, err)
	err = s.Transaction(t.Context(), "a", func(ctx context.Context) error {
		tx, _ := pgxstore.Tx(ctx)
		_, err := tx.Exec(ctx, "INSERT INTO users VALUES ('ada'), ('ada')")
		return err
	})
	var state interface{ SQLState() string }
	require.ErrorAs(t, err, &state)
	require.Equal(t, "23505", state.SQLState())
}

// A lateContext calls once when its error is asked for.
type lateContext struct {
	context.Context
	once func()
}

func (c lateContext) Err() error { c.once(); return nil }

// A statement that a goroutine runs when the transaction has ended is an error, even if it began
// before.
func TestTransaction_LeftoverStatement(t *testing.T) {
	s := newStore(t, newPool(t))
	over, inside, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	require.NoError(t, s.Transaction(t.Context(), "", func(ctx context.Context) error {
		began := false
		late := lateContext{ctx, func() {
			if !began {
				began = true
				close(inside)
				<-over
			}
		}}
		go func() { result <- s.CreateSession(late, newSession("late")) }()
		<-inside
		return nil
	}))
	close(over)
	require.ErrorContains(t, <-result, "tx is closed")
	_, err := s.FindSession(t.Context(), "late")
	require.ErrorIs(t, err, flowhook.ErrNotFound)
}

// An error that does not come from a dead connection closes none.
func TestTransaction_NoLockRow(t *testing.T) {
	pool := newPool(t)
	s, err := pgxstore.NewWithOptions(pool, pgxstore.Options{RowLocks: true})
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "DELETE FROM flowhook_locks")
	require.NoError(t, err)
	before := pool.Stat().NewConnsCount()
	for range 3 {
		require.Error(t, s.Transaction(t.Context(), "a", func(context.Context) error { return errors.New("it ran") }))
	}
	require.NoError(t, pool.Ping(t.Context()))
	require.Equal(t, before, pool.Stat().NewConnsCount())
}
