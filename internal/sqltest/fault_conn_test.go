package sqltest

import (
	"context"
	"database/sql/driver"
)

// A faultyConn implements every interface that the connections of the drivers implement.
type faultyConn struct {
	driver.Conn
	driver *faultyDriver
	open   *faultyRows // of the last query
	stmts  []*faultyStmt
	dead   bool
}

type validConn struct{ *faultyConn }

func (c validConn) IsValid() bool { return !c.dead && c.Conn.(driver.Validator).IsValid() }

// conflict returns the error for a fault, and does to the transaction what the database would do.
func (c *faultyConn) conflict(op string, f driverFault) error {
	if c.Conn == nil {
		return errOperation // there is no transaction yet
	}
	c.closeRows()
	return c.driver.database.conflict(f, isCommit(op), func(statement string) {
		// An error is the purpose of the statement, or means that no transaction is open.
		_, _ = c.Conn.(driver.ExecerContext).ExecContext(context.Background(), statement, nil)
	})
}

// lose closes the connection to the database, which rolls the open transaction back.
func (c *faultyConn) lose() {
	if !c.dead && c.Conn != nil {
		c.closeRows()
		for _, s := range c.stmts { // SQLite keeps the locks of a connection until its statements are closed
			s.Close()
		}
		c.Conn.Close()
	}
	c.dead = true
}

func (c *faultyConn) closeRows() {
	if c.open != nil {
		c.open.Close()
	}
}

// do runs one operation, with its fault.
func (c *faultyConn) do(op string, do func() error) error {
	f, cancel := c.driver.next(op)
	if c.dead {
		return driver.ErrBadConn
	}
	switch f {
	case opBefore, opStuck:
		return errOperation
	case lostBefore:
		c.lose()
		return driver.ErrBadConn
	case conflicted, timedOut:
		return c.conflict(op, f)
	case endBefore:
		cancel()
	}
	err := do()
	switch {
	case err != nil:
	case f == opAfter:
		return errOperation
	case f == lostAfter:
		c.lose()
		return errLost
	case f == endAfter:
		cancel()
	}
	return err
}

func (c *faultyConn) Close() error {
	if c.dead {
		return nil
	}
	c.dead = true
	return c.Conn.Close()
}

func (c *faultyConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s := &faultyStmt{conn: c, query: query}
	c.stmts = append(c.stmts, s)
	err := c.do("Prepare "+query, func() (err error) {
		inner, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		if err == nil { // otherwise inner may be a nil pointer in an interface
			s.Stmt = inner
		}
		return err
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (c *faultyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t := &faultyTx{conn: c}
	err := c.do("Begin", func() (err error) {
		t.Tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *faultyConn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (result driver.Result, err error) {
	if e := c.Conn.(driver.ExecerContext); len(args) > 0 && c.driver.database.driverPrepares && !c.dead {
		return e.ExecContext(ctx, query, args) // driver.ErrSkip, after which database/sql prepares it
	}
	err = c.do("Exec "+query, func() (err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if q := c.Conn.(driver.QueryerContext); len(args) > 0 && c.driver.database.driverPrepares && !c.dead {
		return q.QueryContext(ctx, query, args)
	}
	return c.rows("Query "+query, func() (driver.Rows, error) {
		return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	})
}

// rows runs an operation that returns rows.
func (c *faultyConn) rows(op string, query func() (driver.Rows, error)) (driver.Rows, error) {
	r := &faultyRows{conn: c, of: op}
	c.open = r
	err := c.do(op, func() (err error) {
		if r.Rows, err = query(); err != nil {
			r.Rows = nil
		}
		return err
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (c *faultyConn) ResetSession(ctx context.Context) error {
	return c.do("ResetSession", func() error { return c.Conn.(driver.SessionResetter).ResetSession(ctx) })
}

func (c *faultyConn) Ping(ctx context.Context) error {
	return c.do("Ping", func() error { return c.Conn.(driver.Pinger).Ping(ctx) })
}

func (c *faultyConn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type faultyStmt struct {
	driver.Stmt
	conn  *faultyConn
	query string
}

func (s *faultyStmt) Close() error {
	if s.conn.dead || s.Stmt == nil {
		return nil
	}
	return s.Stmt.Close()
}

func (s *faultyStmt) ExecContext(
	ctx context.Context, args []driver.NamedValue,
) (result driver.Result, err error) {
	err = s.conn.do("Exec "+s.query, func() (err error) {
		result, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return result, err
}

func (s *faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.rows("Query "+s.query, func() (driver.Rows, error) {
		return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	})
}

func (s *faultyStmt) CheckNamedValue(v *driver.NamedValue) error { return s.conn.CheckNamedValue(v) }

type faultyRows struct {
	driver.Rows
	conn   *faultyConn
	of     string
	closed bool
}

func (r *faultyRows) Close() error {
	if r.closed || r.conn.dead || r.Rows == nil {
		return nil
	}
	r.closed = true
	return r.Rows.Close()
}

func (r *faultyRows) Next(dest []driver.Value) error {
	return r.conn.do("Next of "+r.of, func() error { return r.Rows.Next(dest) })
}

type faultyTx struct {
	driver.Tx
	conn *faultyConn
}

func (t *faultyTx) Commit() error   { return t.conn.do("Commit", t.Tx.Commit) }
func (t *faultyTx) Rollback() error { return t.conn.do("Rollback", t.Tx.Rollback) }
