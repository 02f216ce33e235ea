package pgxstore

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// A tx is an open transaction on a connection.
type tx struct {
	database *database
	ctx      context.Context // statements end with it

	mu    sync.Mutex // makes statements take turns, and guards what follows
	conn  *pgxpool.Conn
	tx    pgx.Tx      // nil until the transaction has begun
	shut  bool        // no statement may follow
	over  bool        // it is committed, or rolled back
	abort *time.Timer // closes the connection; nil until Abort
}

const begin = "begin isolation level read committed"

// onLiveConn calls first, which sends the first message of the transaction. If the connection turns
// out to be dead, such as after a restart of the database, it tries the next one, unless the server
// had already begun.
func (t *tx) onLiveConn(ctx context.Context, first func() (begun bool, err error)) (err error) {
	pool := t.database.pool
	tries := pool.Stat().IdleConns() + 1
	if t.conn != nil { // since Begin
		tries++
	}
	for range tries {
		if t.conn == nil {
			if t.conn, err = pool.Acquire(ctx); err != nil {
				return err
			}
		}
		var begun bool
		if begun, err = first(); err == nil || begun || ctx.Err() != nil || !t.dead(err) {
			break
		}
		t.conn.Release()
		t.conn, t.tx = nil, nil
	}
	return err
}

// dead reports whether the connection is closed, or about to be, after an error.
func (t *tx) dead(err error) bool {
	return t.conn.Conn().IsClosed() || relational.FailureOf(err, relational.PostgreSQLFailure) == relational.Lost
}

func (t *tx) beginOnLiveConn(ctx context.Context, identityID string) error {
	return t.onLiveConn(ctx, func() (begun bool, err error) { return false, t.begin(ctx, identityID) })
}

// begin begins the transaction and waits for the lock of the identity, in one round trip if it is
// an advisory lock. A row lock takes a second one, which also checks that there is such a row.
func (t *tx) begin(ctx context.Context, identityID string) (err error) {
	first := begin
	if identityID != "" && !t.database.options.RowLocks {
		first += "; " + relational.AdvisoryLockOf(identityID)
	}
	if t.tx, err = t.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: first}); err != nil {
		if t.conn.Conn().PgConn().TxStatus() == 'E' { // it has begun, but not got the lock
			ctx, cancel := t.limited()
			defer cancel()
			t.conn.Exec(ctx, "rollback")
		}
		return err
	}
	if identityID != "" && t.database.options.RowLocks {
		return t.lockRow(ctx, identityID)
	}
	return nil
}

func (t *tx) lockRow(ctx context.Context, identityID string) error {
	return t.tx.QueryRow(ctx, relational.RowLock(identityID)).Scan(new(int))
}

// Exec implements [relational.Querier].
func (t *tx) Exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return 0, pgx.ErrTxClosed
	}
	var tag pgconn.CommandTag
	if t.tx == nil {
		err = t.first(ctx, query, args, func(results pgx.BatchResults) (err error) {
			tag, err = results.Exec()
			return err
		})
	} else {
		tag, err = t.tx.Exec(ctx, query, args...)
	}
	return tag.RowsAffected(), err
}

// Query implements [relational.Querier].
func (t *tx) Query(
	ctx context.Context, query string, args []any, each func(scan func(into ...any) error) error,
) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return pgx.ErrTxClosed
	}
	if t.tx == nil {
		return t.first(ctx, query, args, func(results pgx.BatchResults) error {
			rows, _ := results.Query() // the rows have its error
			return read(rows, each)
		})
	}
	rows, _ := t.tx.Query(ctx, query, args...)
	return read(rows, each)
}

// first begins the transaction in the round trip of its first statement. If the server has begun
// and the answer to the statement is lost, the statement is not repeated: the server may still hold
// its locks.
func (t *tx) first(ctx context.Context, query string, args []any, result func(pgx.BatchResults) error) error {
	return t.onLiveConn(ctx, func() (begun bool, err error) {
		var batch pgx.Batch
		batch.BeginTx(pgx.TxOptions{BeginQuery: begin})
		batch.Queue(query, args...)
		results := t.conn.SendBatch(ctx, &batch)
		_, err = results.Exec() // of the begin
		if begun = err == nil; begun {
			err = result(results)
		}
		if closed := results.Close(); err == nil {
			err = closed
		}
		t.tx = results.Tx()
		return begun, err
	})
}

// Lock implements [relational.Tx].
func (t *tx) Lock(ctx context.Context, identityID string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.shut:
		return pgx.ErrTxClosed
	case t.tx == nil:
		return t.beginOnLiveConn(ctx, identityID)
	case t.database.options.RowLocks:
		return t.lockRow(ctx, identityID)
	}
	_, err := t.tx.Exec(ctx, relational.AdvisoryLock, int64(relational.LockKey(identityID)))
	return err
}

// Lend implements [relational.Tx].
func (t *tx) Lend() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.shut:
		return pgx.ErrTxClosed
	case t.tx != nil:
		return nil
	}
	return t.beginOnLiveConn(t.ctx, "")
}
