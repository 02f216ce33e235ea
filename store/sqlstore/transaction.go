package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

var (
	errEnded      = errors.New("sqlstore: the transaction of this context has ended")
	errOver       = errors.New("sqlstore: the database has ended the transaction: the error of a statement was ignored, or a statement commits by itself")
	errJoined     = errors.New("sqlstore: a joined transaction is still running")
	errUnfinished = errors.New("sqlstore: a joined transaction did not return")
)

// A transaction is an open transaction. The first statement that fails dooms it: it is rolled back
// at once, and later statements return an error. So nothing after a failure is ever committed.
type transaction struct {
	store *Store
	outer *transaction    // another store's, in the same context
	ctx   context.Context // of the outermost call; statements end with it
	conn  *sql.Conn
	tx    *sql.Tx

	lasts  func() bool        // reports whether ctx has not ended; from then on, its end has no effect
	giveUp context.CancelFunc // stops waiting for the database

	hosts context.Context    // of the host's statements; ends with ctx or with the transaction
	letGo context.CancelFunc // ends hosts

	mu     sync.Mutex // guards what follows
	doom   error      // why nothing may be committed
	lent   bool       // to the host
	raw    bool       // the connection is lent, too
	kept   bool       // a second transaction is open after the rollback, for what the host still does with the connection
	joined int        // running calls that joined
	ended  bool

	finished              bool // tx can no longer commit or roll back
	committed, rolledBack bool // confirmed by the database
	broken                bool // the connection cannot be used again
}

type transactionKey struct{}

func innermost(ctx context.Context) *transaction {
	t, _ := ctx.Value(transactionKey{}).(*transaction)
	return t
}

// transactionOf returns the store's own transaction in ctx, or nil. Stores on one pool count as one
// store, because the second would otherwise wait forever for a lock of the first.
func (s *Store) transactionOf(ctx context.Context) *transaction {
	t := innermost(ctx)
	for t != nil && t.store.db != s.db {
		t = t.outer
	}
	return t
}

// Transaction implements [flowhook.Store]. It always runs under READ COMMITTED, so it sees what
// other transactions have committed meanwhile. Transactions of one identity wait for each other: on
// PostgreSQL by an advisory lock, on MariaDB by a row of flowhook_locks, and on SQLite because only
// one transaction is open at a time, in the order of the calls. On MariaDB, the wait ends with
// [ErrConflict] after innodb_lock_wait_timeout.
//
// The first error of one of the store's statements dooms the transaction, and so does the end of a
// call's context: it is rolled back at once, and Transaction returns an error whatever fn returned.
// A deadlock, or a lock that is not available in time, is [ErrConflict].
//
// A commit or rollback outlasts ctx by at most 10 seconds. If the database does not answer by then,
// the connection is dropped, and a commit returns [ErrUnknownOutcome].
func (s *Store) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t := s.transactionOf(ctx); t != nil {
		return t.join(ctx, identityID, fn)
	}
	t, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer t.end()
	if err := t.lock(ctx, identityID); err != nil {
		return err
	}
	if err := fn(context.WithValue(ctx, transactionKey{}, t)); err != nil {
		return err
	}
	return t.commit()
}

func (t *transaction) join(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if err := t.lock(ctx, identityID); err != nil {
		return err
	}
	t.mu.Lock()
	err := t.usable()
	if err == nil {
		t.joined++
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}

	err = errUnfinished // for a panic or a Goexit
	defer func() {
		t.mu.Lock()
		t.joined--
		t.mu.Unlock()
		if err != nil {
			t.fail(err)
		}
	}()
	if err = fn(ctx); err == nil {
		err = ctx.Err()
	}
	return err
}

// lock waits for the identity's turn, for as long as ctx lasts, and keeps it until the transaction
// ends.
func (t *transaction) lock(ctx context.Context, identityID string) error {
	if identityID == "" {
		return nil
	}
	return t.run(ctx, "wait for the identity", false, func(statement context.Context) error {
		waiting, cancel := context.WithCancel(statement)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		err := t.store.dialect.lock(waiting, t.tx, identityID)
		if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		return err
	})
}

// run runs statements in the transaction. The first one that fails dooms it.
func (t *transaction) run(ctx context.Context, what string, writes bool, statements func(ctx context.Context) error) error {
	t.mu.Lock()
	err, lent := t.usable(), t.lent
	t.mu.Unlock()
	if err != nil {
		return err
	}
	if err = ctx.Err(); err == nil && writes && lent && t.store.dialect.intact != nil {
		err = t.store.dialect.intact(t.ctx, t.tx)
	}
	if err == nil {
		err = statements(statementContext{t.ctx, ctx})
	}
	if err != nil {
		err = t.store.explain(t.ctx, what, err)
		t.fail(err)
	}
	return err
}

// usable returns an error if the transaction can no longer be used.
func (t *transaction) usable() error {
	switch {
	case t.ended:
		return errEnded
	case t.doom != nil:
		return fmt.Errorf("sqlstore: the transaction has failed: %w", t.doom)
	}
	return nil
}

// fail dooms the transaction.
func (t *transaction) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doomed(err)
}

// doomed is fail with t.mu held.
func (t *transaction) doomed(err error) {
	if t.doom == nil {
		t.doom = err
		t.rollback()
		t.keep()
	}
}

// keep opens a second transaction after the rollback, which is rolled back in the end. Otherwise,
// what the host still does through Conn would commit by itself. With autocommit off (restore),
// there is one anyway. keep is called with t.mu held.
func (t *transaction) keep() {
	autocommit := t.store.dialect.restore == "" || !t.lent
	if t.raw && !t.kept && !t.ended && autocommit {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), t.store.limit)
		defer cancel()
		_, err := t.conn.ExecContext(ctx, "BEGIN")
		t.kept = err == nil
	}
}

// rollback rolls back unless that is done already. It is called with t.mu held.
func (t *transaction) rollback() {
	if t.finished {
		return
	}
	t.finished = true
	t.rolledBack = t.finish(rollbackStatement) == nil // ErrTxDone after a failed commit: whether a transaction is open is unknown
}

func (t *transaction) commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(); err != nil {
		return err
	}
	if t.joined > 0 {
		return errJoined
	}
	if sealed := t.store.dialect.sealed; sealed != "" && t.lent {
		if _, err := t.tx.ExecContext(t.ctx, sealed); err != nil {
			return t.store.explain(t.ctx, "commit", errors.Join(errOver, err))
		}
	}
	if !t.lasts() || t.ctx.Err() != nil { // a context ends before its AfterFunc runs
		return t.ctx.Err()
	}
	switch err := t.finish(commitStatement); {
	case errors.Is(err, ErrUnknownOutcome):
		return err
	case err != nil:
		return t.store.explain(context.WithoutCancel(t.ctx), "commit", err)
	}
	t.finished, t.committed = true, true
	return nil
}

// end rolls back what is not committed, and lets the next transaction begin.
func (t *transaction) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.close()
	t.store.release()
}
