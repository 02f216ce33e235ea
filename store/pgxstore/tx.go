package pgxstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowhook/flowhook/store/internal/relational"
)

var (
	errHostCommits   = errors.New("pgxstore: the store commits this transaction; return nil instead")
	errHostRollsBack = errors.New("pgxstore: the host has rolled the transaction back")
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

// abortDelay is how long a statement may take to notice that its context has ended.
const abortDelay = 100 * time.Millisecond

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

// Intact implements [relational.Tx]. If a statement of the host's has failed, PostgreSQL accepts no
// other one, and a commit rolls back. If one has committed, the server is in no transaction.
func (t *tx) Intact() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.intact()
}

// intact is Intact with t.mu held.
func (t *tx) intact() error {
	if conn := t.tx.Conn(); !conn.IsClosed() && conn.PgConn().TxStatus() == 'I' {
		return relational.ErrOver
	}
	return nil
}

// limited returns a context that outlasts the transaction's, by AnswerTimeout at most.
func (t *tx) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.ctx), t.database.options.AnswerTimeout)
}

// Commit implements [relational.Tx].
func (t *tx) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut = true
	if t.tx == nil {
		return nil
	}
	if err := t.intact(); err != nil {
		return err
	}
	// These connections cannot send the commit. The errors of pgx do not tell: they also call a
	// connection closed that breaks after the commit was sent.
	conn := t.tx.Conn()
	unusable := conn.IsClosed() || conn.PgConn().IsBusy()
	ctx, cancel := t.limited()
	defer cancel()
	err := t.tx.Commit(ctx)
	t.over = true
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return errors.Join(relational.ErrOver, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%w (waited %v)", ErrUnknownOutcome, t.database.options.AnswerTimeout)
	case lost(err) && !unusable && !errors.Is(err, pgx.ErrTxClosed):
		return fmt.Errorf("%w (%v)", ErrUnknownOutcome, err)
	}
	return err
}

// Rollback implements [relational.Tx]. If it fails, pgx closes the connection, which rolls back.
func (t *tx) Rollback() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rollback()
}

// rollback is called with t.mu held.
func (t *tx) rollback() {
	t.shut = true
	if t.tx == nil || t.over {
		return
	}
	t.over = true
	ctx, cancel := t.limited()
	defer cancel()
	t.tx.Rollback(ctx)
}

// Abort implements [relational.Tx]. A statement of the host's may be using the connection, which is
// not safe for concurrent use; only the net.Conn under it may be closed. PostgreSQL then rolls
// back. If Close is called first, the connection is free, and can be rolled back and used again.
func (t *tx) Abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut = true
	if t.tx != nil && !t.over {
		wire := t.conn.Conn().PgConn().Conn()
		t.abort = time.AfterFunc(abortDelay, func() { wire.Close() })
	}
}

// Close implements [relational.Tx]. A connection that is closed, or still in a transaction, does
// not return to the pool.
func (t *tx) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.abort != nil && !t.abort.Stop() {
		t.over = true // by the end of the connection
	}
	t.rollback()
	if t.conn != nil {
		t.conn.Release()
	}
}

// Tx returns the transaction that ctx carries, for the host's own statements. If a statement fails,
// return its error: PostgreSQL accepts no other one. If the context of a statement ends before the
// statement does, pgx closes the connection, and the transaction is over. Begin sets a savepoint.
// Commit is an error, because the store commits; Rollback makes the transaction fail. Unlike a
// *sql.Tx, it is not safe for concurrent use, not even with calls of the store.
func Tx(ctx context.Context) (pgx.Tx, bool) {
	t, fail, ok := relational.Lend[*tx](ctx)
	if !ok {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tx == nil {
		return lentTx{closedTx(), fail}, true // it could not begin
	}
	return lentTx{t.tx, fail}, true
}

// closedTx returns a transaction whose methods return pgx.ErrTxClosed.
func closedTx() pgx.Tx {
	var batch pgx.Batch
	batch.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(&batch, pgx.ErrTxClosed).Tx()
}

// A lentTx is a transaction in the hands of the host.
type lentTx struct {
	pgx.Tx
	fail func(err error)
}

func (t lentTx) Commit(context.Context) error { return errHostCommits }

func (t lentTx) Rollback(context.Context) error {
	t.fail(errHostRollsBack)
	return nil
}
