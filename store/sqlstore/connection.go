package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// begin opens a transaction. It tries idle connections one by one and drops those that died with
// the database.
func (s *Store) begin(ctx context.Context) (*transaction, error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	t := &transaction{store: s, outer: innermost(ctx), ctx: ctx}
	var err error
	for range s.db.Stats().Idle + 1 {
		if err = s.untilFree(ctx, t.open); !errors.Is(err, driver.ErrBadConn) {
			break
		}
	}
	if err != nil {
		s.release()
		return nil, s.explain(ctx, "begin a transaction", err)
	}
	return t, nil
}

func (t *transaction) open() (err error) {
	d := t.store.dialect
	t.mu.Lock()
	t.finished, t.rolledBack, t.broken = false, false, false // by the previous attempt
	t.mu.Unlock()
	if err = t.store.parse(t.ctx); err != nil {
		return err
	}
	if t.conn, err = t.store.db.Conn(t.ctx); err != nil {
		return err
	}
	defer func() {
		switch {
		case err == nil:
		case t.tx != nil && d.finishByStatement:
			// The context ended as the transaction began, and database/sql rolls back by itself. It
			// does so without a limit, so nobody waits for it.
			go t.close()
		default:
			t.close()
		}
	}()
	t.hosts, t.letGo = context.WithCancel(t.ctx)
	var lasting context.Context
	lasting, t.giveUp = context.WithCancel(context.WithoutCancel(t.ctx))
	began := context.AfterFunc(t.ctx, t.giveUp)
	if t.tx, err = t.conn.BeginTx(lasting, &sql.TxOptions{Isolation: d.isolation}); err != nil {
		return err
	}
	if !began() {
		return t.ctx.Err()
	}
	t.lasts = context.AfterFunc(t.ctx, func() { t.fail(t.ctx.Err()) })
	if d.begun != "" {
		_, err = t.exec(t.ctx, d.begun)
	}
	return err
}

// close returns the connection to the pool in its original state, or drops it.
func (t *transaction) close() {
	t.letGo()
	if t.lasts != nil {
		t.lasts()
	}
	if t.tx != nil && !t.committed {
		t.mu.Lock() // the end of ctx may be rolling back at the same time
		t.rollback()
		t.mu.Unlock()
	}
	t.giveUp()
	if !t.restored() {
		t.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	t.conn.Close()
}

// restored undoes what was done to the connection, and reports whether it can be used again.
func (t *transaction) restored() bool {
	if t.broken {
		return false
	}
	d := t.store.dialect
	restore := d.restore != "" && t.lent
	// restore commits what is open, and the host may run statements through Conn after a rollback.
	undo := !t.committed && (!t.rolledBack || restore || t.kept)
	if !undo && !restore {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), t.store.limit)
	defer cancel()
	if undo {
		if _, err := t.conn.ExecContext(ctx, rollbackStatement); err != nil && !d.strictRollback {
			return false
		}
	}
	if restore {
		_, err := t.conn.ExecContext(ctx, d.restore)
		return err == nil
	}
	return true
}
