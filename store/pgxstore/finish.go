package pgxstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// abortDelay is how long a statement may take to notice that its context has ended.
const abortDelay = 100 * time.Millisecond

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
