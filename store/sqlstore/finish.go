package sqlstore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// ErrUnknownOutcome means that the database did not answer a commit within Options.AnswerTimeout,
// or that the connection was lost meanwhile. The transaction may have taken effect, or may do so
// later. Read the data before you try again. It never wraps the error of a context.
var ErrUnknownOutcome = relational.ErrUnknownOutcome

const rollbackStatement = "ROLLBACK"

// Commit implements [relational.Tx].
func (t *tx) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.database.dialect
	if d.sealed != "" && t.lent {
		ctx, cancel := t.limited()
		defer cancel()
		if _, err := t.tx.ExecContext(ctx, d.sealed); err != nil {
			return errors.Join(relational.ErrOver, err)
		}
	}
	err := t.finish(d.commit)
	switch {
	case err == nil:
		t.finished, t.committed = true, true
		return nil
	case errors.Is(err, ErrUnknownOutcome):
		return err
	case relational.FailureOf(err, failure) == relational.Over:
		return errors.Join(relational.ErrOver, err)
	case relational.FailureOf(err, failure) == relational.Unclear:
		return fmt.Errorf("%w (%v)", ErrUnknownOutcome, err)
	case lost(err) && sent(err) && !d.oneWriter && !t.alive():
		return fmt.Errorf("%w (%v)", ErrUnknownOutcome, err)
	}
	return err
}

// alive reports whether the database answers after a failed commit. Then it has answered the
// commit, too. It is called with t.mu held.
func (t *tx) alive() bool {
	if t.database.dialect.finishByStatement { // t.tx is still open, and so holds the connection
		t.rollback()
		return t.rolledBack
	}
	t.letGo() // rows that the host has left open would keep the connection
	ctx, cancel := t.limited()
	defer cancel()
	_, err := t.conn.ExecContext(ctx, rollbackStatement)
	t.broken = err != nil
	return err == nil
}

// finish sends a statement that commits or rolls back, and waits for the answer. It returns
// ErrUnknownOutcome if there is none within AnswerTimeout. It is called with t.mu held.
func (t *tx) finish(statement string) error {
	end := t.tx.Rollback
	if statement != rollbackStatement {
		end = t.tx.Commit
	}
	if t.database.dialect.finishByStatement {
		if err := t.finishByStatement(statement); !errors.Is(err, driver.ErrSkip) {
			return err
		}
		// The connection cannot run a query unprepared, unlike go-sql-driver's. Then the wait has
		// the driver's own limit, if it has one. The driver's Commit would leave autocommit off.
		if statement != rollbackStatement {
			ctx, cancel := t.limited()
			defer cancel()
			if _, err := t.tx.ExecContext(ctx, statement); err != nil {
				if ctx.Err() != nil {
					return t.unanswered()
				}
				return err
			}
		}
	}
	late := time.AfterFunc(t.database.options.AnswerTimeout, t.giveUp) // ends the context that the driver's transaction has
	err := end()
	if err != nil && !late.Stop() {
		return t.unanswered()
	}
	late.Stop()
	return err
}

// finishByStatement is finish for a driver whose Commit and Rollback take no context, and would
// wait forever for a server that hangs.
//
// The *sql.Tx holds the connection until its own Commit or Rollback returns. Once the server has
// answered the statement, Rollback has nothing left to undo, but it asks the server once more. That
// wait is bounded, too: the driver watches a query's context until its rows are closed, and drops
// the connection if the context ends. So finishByStatement runs the statement as a query, and
// closes its empty rows after Rollback.
func (t *tx) finishByStatement(statement string) error {
	ctx, cancel := t.limited()
	defer cancel()
	var rows driver.Rows
	err := t.withDriver(func(c driver.Conn) (err error) {
		q, ok := c.(driver.QueryerContext)
		if !ok {
			return driver.ErrSkip
		}
		rows, err = q.QueryContext(ctx, statement, nil)
		return err
	})
	switch {
	case err == nil:
		defer t.withDriver(func(driver.Conn) error { return rows.Close() })
	case errors.Is(err, driver.ErrSkip):
		return err
	case ctx.Err() != nil:
		err = t.unanswered()
	}
	if err != nil {
		if statement != rollbackStatement {
			return err // a rollback follows
		}
		t.withDriver(driver.Conn.Close) // else the Rollback below would ask the server once more
	}
	t.tx.Rollback() // if it fails, the connection is lost, and database/sql drops it
	return err
}

func (t *tx) unanswered() error {
	return fmt.Errorf("%w (waited %v)", ErrUnknownOutcome, t.database.options.AnswerTimeout)
}

// withDriver calls f with the driver's connection. It keeps driver.ErrBadConn from the *sql.Conn,
// which would wait for the *sql.Tx to end before it closes.
func (t *tx) withDriver(f func(c driver.Conn) error) (err error) {
	if closed := t.conn.Raw(func(c any) error { err = f(c.(driver.Conn)); return nil }); closed != nil {
		return closed
	}
	return err
}
