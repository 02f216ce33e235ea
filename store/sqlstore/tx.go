package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// A tx is an open transaction on a connection.
type tx struct {
	database *database
	ctx      context.Context // statements end with it
	conn     *sql.Conn
	tx       *sql.Tx
	giveUp   context.CancelFunc // stops waiting for the database

	hosts context.Context    // of the host's statements; ends with ctx or with the transaction
	letGo context.CancelFunc // ends hosts

	mu   sync.Mutex // guards what follows
	lent bool
	raw  bool // the connection is lent, too
	kept bool // a second transaction is open after the rollback, for what the host still does with the connection

	finished              bool // tx can no longer commit or roll back
	committed, rolledBack bool // confirmed by the database
	broken                bool // the connection cannot be used again
}

// open begins a transaction on one connection.
func (d *database) open(ctx context.Context, identityID string) (_ *tx, err error) {
	t := &tx{database: d, ctx: ctx}
	if t.conn, err = d.db.Conn(ctx); err != nil {
		return nil, err
	}
	t.hosts, t.letGo = context.WithCancel(ctx)
	var lasting context.Context
	lasting, t.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	began := context.AfterFunc(ctx, t.giveUp)
	if t.tx, err = t.conn.BeginTx(lasting, &sql.TxOptions{Isolation: d.dialect.isolation}); err != nil {
		t.close()
		return nil, err
	}
	if !began() {
		if d.dialect.finishByStatement {
			// database/sql rolls back by itself. It does so without a limit, so nobody waits for it.
			go t.close()
		} else {
			t.close()
		}
		return nil, ctx.Err()
	}
	if err := d.dialect.begin(ctx, t, identityID); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// Exec implements [relational.Querier].
func (t *tx) Exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	if parsed := t.database.parsed[query]; parsed != nil {
		return affected(t.tx.StmtContext(ctx, parsed).ExecContext(ctx, args...))
	}
	return affected(t.tx.ExecContext(ctx, query, args...))
}

// Query implements [relational.Querier].
func (t *tx) Query(
	ctx context.Context, query string, args []any, each func(scan func(into ...any) error) error,
) error {
	rows, err := t.tx.QueryContext(ctx, query, args...)
	return read(rows, err, each)
}

// Lock implements [relational.Tx].
func (t *tx) Lock(ctx context.Context, identityID string) error {
	if t.database.options.RowLocks {
		return t.database.dialect.rowLock(ctx, t.tx, identityID)
	}
	return t.database.dialect.lock(ctx, t.tx, identityID)
}

// lockRow waits for the identity's row of flowhook_locks.
func lockRow(ctx context.Context, tx *sql.Tx, identityID string) error {
	return tx.QueryRowContext(ctx, relational.RowLock(identityID)).Scan(new(int))
}

// Intact implements [relational.Tx].
func (t *tx) Intact() error {
	if t.database.dialect.intact == nil {
		return nil
	}
	return t.database.dialect.intact(t.ctx, t.tx)
}

// Rollback implements [relational.Tx].
func (t *tx) Rollback() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rollback()
	t.keep()
}

// Abort implements [relational.Tx]. A *sql.Tx may be rolled back by another goroutine.
func (t *tx) Abort() { t.Rollback() }

// rollback rolls back unless that is done already. It is called with t.mu held.
func (t *tx) rollback() {
	if t.finished {
		return
	}
	t.finished = true
	t.rolledBack = t.finish(rollbackStatement) == nil // ErrTxDone after a failed commit: whether a transaction is open is unknown
}

// keep opens a second transaction after the rollback, which is rolled back in the end. Otherwise,
// what the host still does through Conn would commit by itself. With autocommit off (restore),
// there is one anyway. keep is called with t.mu held.
func (t *tx) keep() {
	if t.raw && !t.kept && t.database.dialect.restore == "" {
		ctx, cancel := t.limited()
		defer cancel()
		_, err := t.conn.ExecContext(ctx, "BEGIN")
		t.kept = err == nil
	}
}

// limited returns a context that outlasts the transaction's, by AnswerTimeout at most.
func (t *tx) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.ctx), t.database.options.AnswerTimeout)
}

// Close implements [relational.Tx].
func (t *tx) Close() {
	t.close()
	t.database.release()
}

// close returns the connection to the pool in its original state, or drops it.
func (t *tx) close() {
	t.letGo()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tx != nil && !t.committed {
		t.rollback()
	}
	t.giveUp()
	if !t.restored() {
		t.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	t.conn.Close()
}

// restored undoes what was done to the connection, and reports whether it can be used again.
func (t *tx) restored() bool {
	switch {
	case t.broken:
		return false
	case t.committed:
		return true
	}
	d := t.database.dialect
	// restore commits what is open, so roll back first: the host may have run statements through Conn
	// after the rollback.
	undo := !t.rolledBack || t.kept || t.raw && d.restore != ""
	ctx, cancel := t.limited()
	defer cancel()
	if undo {
		if _, err := t.conn.ExecContext(ctx, rollbackStatement); err != nil && !d.strictRollback {
			return false
		}
	}
	if d.restore != "" {
		_, err := t.conn.ExecContext(ctx, d.restore)
		return err == nil
	}
	return true
}
