package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-sql-driver/mysql"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// driverFault is what goes wrong at one operation of a driver.
type driverFault string

const (
	opBefore   driverFault = "fails before it takes effect"
	opAfter    driverFault = "fails after it took effect"
	opStuck    driverFault = "fails before it takes effect, and so does the rollback"
	lostBefore driverFault = "finds the connection lost"
	lostAfter  driverFault = "takes effect, and the connection is lost before the answer"
	conflicted driverFault = "meets a conflict, and the database rolls back"
	timedOut   driverFault = "waits too long for a lock, and only the statement is undone"
	endBefore  driverFault = "begins when the request's context has just ended"
	endAfter   driverFault = "is followed by the end of the request's context"
)

var driverFaults = []driverFault{opBefore, opAfter, opStuck, lostBefore, lostAfter, conflicted, timedOut, endBefore, endAfter}

var (
	errOperation = errors.New("injected at the driver")
	errLost      = fmt.Errorf("injected at the driver: %w", io.ErrUnexpectedEOF)
)

// pgError and sqliteError are conflicts as the drivers of PostgreSQL and SQLite report them.
type pgError string

func (e pgError) Error() string    { return "injected: SQLSTATE " + string(e) }
func (e pgError) SQLState() string { return string(e) }

type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprint("injected: code ", int(e)) }
func (e sqliteError) Code() int     { return int(e) }

// conflict makes the error for a fault, and has the database do with the transaction what it would have done.
func (c *faultyConn) conflict(op string, f driverFault) error {
	if c.Conn == nil {
		return errOperation // there is no transaction yet
	}
	c.closeRows()
	run := func(statement string) {
		c.Conn.(driver.ExecerContext).ExecContext(context.Background(), statement, nil) // its error is the point, or says that nothing is open
	}
	switch d := c.driver.dialect; {
	case d == sqlstore.PostgreSQL && op == "Commit":
		run("ROLLBACK")
		return pgError("40001")
	case d == sqlstore.PostgreSQL && f == conflicted:
		run("SELECT 1 / 0") // from now on the transaction takes nothing but a rollback
		return pgError("40P01")
	case d == sqlstore.PostgreSQL:
		run("SELECT 1 / 0")
		return pgError("55P03")
	case d == sqlstore.MariaDB && f == conflicted:
		run("ROLLBACK") // from now on every statement commits by itself, unless somebody has taken care
		return &mysql.MySQLError{Number: 1213, Message: "injected"}
	case d == sqlstore.MariaDB:
		return &mysql.MySQLError{Number: 1205, Message: "injected"}
	case f == conflicted:
		run("ROLLBACK")
		return sqliteError(5 | 2<<8) // SQLITE_BUSY_SNAPSHOT
	}
	return sqliteError(5)
}

// faultyDriver opens connections of which one operation goes wrong.
type faultyDriver struct {
	driver.Connector
	dialect sqlstore.Dialect

	mu     sync.Mutex
	left   int // operations until the one that goes wrong; 0: none does
	fault  driverFault
	stuck  bool   // the next rollback goes wrong, too
	fired  string // the operation that went wrong
	cancel context.CancelFunc
	seen   []string
}

// arm has the n-th operation from now on go wrong.
func (d *faultyDriver) arm(n int, f driverFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.fault, d.stuck, d.fired, d.seen = n, f, false, "", nil
}

// disarm gives the operation that went wrong, if the request came that far.
func (d *faultyDriver) disarm() (fired string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.stuck = 0, false
	return d.fired
}

// isCommit reports whether an operation is the transaction's commit. On MariaDB, that is a statement.
func isCommit(op string) bool { return op == "Commit" || op == "Query COMMIT" }

// isRollback reports whether an operation is a rollback.
func isRollback(op string) bool {
	return op == "Rollback" || op == "Query ROLLBACK" || op == "Exec ROLLBACK"
}

// requestBegins tells what a request's end is.
func (d *faultyDriver) requestBegins(cancel context.CancelFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancel = cancel
}

// next says what is to go wrong with an operation.
func (d *faultyDriver) next(op string) (driverFault, context.CancelFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, op)
	if d.stuck && isRollback(op) && (op != "Exec ROLLBACK" || d.dialect != sqlstore.SQLite) { // SQLite's fails only where nothing is open
		d.stuck = false
		return opBefore, nil
	}
	if d.left == 0 {
		return "", nil
	}
	if d.left--; d.left > 0 {
		return "", nil
	}
	d.fired, d.stuck = op, d.fault == opStuck
	return d.fault, d.cancel
}

// faulty gives a pool on the source whose connections go wrong when they are told to.
func (d database) faulty(source string) (*sql.DB, *faultyDriver, error) {
	plain, err := sql.Open(d.driver, source)
	if err != nil {
		return nil, nil, err
	}
	defer plain.Close()
	f := &faultyDriver{Connector: sourceConnector{source, plain.Driver()}, dialect: d.dialect}
	if with, ok := plain.Driver().(driver.DriverContext); ok {
		if f.Connector, err = with.OpenConnector(source); err != nil {
			return nil, nil, err
		}
	}
	return sql.OpenDB(f), f, nil
}

// sourceConnector is what database/sql has for drivers without connectors.
type sourceConnector struct {
	source string
	driver driver.Driver
}

func (c sourceConnector) Connect(context.Context) (driver.Conn, error) {
	return c.driver.Open(c.source)
}
func (c sourceConnector) Driver() driver.Driver { return c.driver }

func (d *faultyDriver) Connect(ctx context.Context) (driver.Conn, error) {
	c := &faultyConn{driver: d}
	err := c.do("Connect", func() (err error) { c.Conn, err = d.Connector.Connect(ctx); return err })
	if err != nil {
		c.lose()
		return nil, err
	}
	if _, ok := c.Conn.(driver.Validator); ok { // with it, database/sql keeps connections that it would otherwise drop
		return validConn{c}, nil
	}
	return c, nil
}

// faultyConn is a connection with all that the drivers' connections have.
type faultyConn struct {
	driver.Conn
	driver *faultyDriver
	open   *faultyRows // the last that were asked for
	stmts  []*faultyStmt
	dead   bool
}

type validConn struct{ *faultyConn }

func (c validConn) IsValid() bool { return !c.dead && c.Conn.(driver.Validator).IsValid() }

// lose closes the connection to the database, which rolls back what was open in it.
func (c *faultyConn) lose() {
	if !c.dead && c.Conn != nil {
		c.closeRows()
		for _, s := range c.stmts { // SQLite keeps a connection, with its locks, until its statements are closed
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

// do is one operation.
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
		if err == nil { // else it may be a nil that is not nil
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
	err := c.do("Begin", func() (err error) { t.Tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts); return err })
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	if e := c.Conn.(driver.ExecerContext); len(args) > 0 && c.driver.dialect == sqlstore.MariaDB && !c.dead {
		return e.ExecContext(ctx, query, args) // driver.ErrSkip: what follows is to prepare it
	}
	err = c.do("Exec "+query, func() (err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if q := c.Conn.(driver.QueryerContext); len(args) > 0 && c.driver.dialect == sqlstore.MariaDB && !c.dead {
		return q.QueryContext(ctx, query, args)
	}
	return c.rows("Query "+query, func() (driver.Rows, error) {
		return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	})
}

// rows is an operation that gives rows.
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

func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
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
