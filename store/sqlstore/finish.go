package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// ErrUnknownOutcome means that the database did not answer a commit within 10 seconds. The
// transaction may have taken effect, or may do so later. Read the data before you try again.
// It never wraps the error of a context.
var ErrUnknownOutcome = errors.New("sqlstore: the commit was not answered and may have taken effect")

// answerLimit is how long the store waits for the answer to a commit or rollback, and to what
// restores a connection. These are not canceled with the request: a caller that asked for a commit
// learns how it ended, and a connection that was rolled back can be used again.
const answerLimit = 10 * time.Second

const (
	commitStatement   = "COMMIT"
	rollbackStatement = "ROLLBACK"
)

// finish sends COMMIT or ROLLBACK and waits for the answer. It returns ErrUnknownOutcome if there
// is none within the store's limit. It is called with t.mu held.
func (t *transaction) finish(statement string) error {
	end := t.tx.Rollback
	if statement == commitStatement {
		end = t.tx.Commit
	}
	if t.store.dialect.finishByStatement {
		if err := t.finishByStatement(statement); !errors.Is(err, driver.ErrSkip) {
			return err
		}
		// The connection cannot run a statement unprepared, unlike go-sql-driver's. Then the wait
		// has the driver's own limit, if it has one.
	}
	late := time.AfterFunc(t.store.limit, t.giveUp) // ends the context that the driver's transaction has
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
func (t *transaction) finishByStatement(statement string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), t.store.limit)
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
		if statement == commitStatement {
			return err // a rollback follows
		}
		t.withDriver(driver.Conn.Close) // else the Rollback below would ask the server once more
	}
	if t.tx.Rollback() != nil {
		t.broken = true
	}
	return err
}

func (t *transaction) unanswered() error {
	return fmt.Errorf("%w (waited %v)", ErrUnknownOutcome, t.store.limit)
}

// withDriver calls f with the driver's connection. It keeps driver.ErrBadConn from the *sql.Conn,
// which would wait for the *sql.Tx to end before it closes.
func (t *transaction) withDriver(f func(c driver.Conn) error) (err error) {
	if closed := t.conn.Raw(func(c any) error { err = f(c.(driver.Conn)); return nil }); closed != nil {
		return closed
	}
	return err
}
