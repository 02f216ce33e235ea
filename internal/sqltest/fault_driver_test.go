package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A driverFault is a failure of one operation of a driver.
type driverFault string

const (
	opBefore   driverFault = "fails before it takes effect"
	opAfter    driverFault = "fails after it took effect"
	opStuck    driverFault = "fails before it takes effect, and so does the rollback"
	lostBefore driverFault = "finds the connection lost"
	lostAfter  driverFault = "takes effect, and the connection is lost before the answer"
	conflicted driverFault = "meets a conflict, and the database rolls back"
	timedOut   driverFault = "waits too long for a lock, and only the statement is undone"
	endBefore  driverFault = "begins just after the request's context has ended"
	endAfter   driverFault = "takes effect, and then the request's context ends"
)

var driverFaults = []driverFault{
	opBefore, opAfter, opStuck, lostBefore, lostAfter, conflicted, timedOut, endBefore, endAfter,
}

var (
	errOperation = errors.New("injected at the driver")
	errLost      = fmt.Errorf("injected at the driver: %w", io.ErrUnexpectedEOF)
)

// A faultyDriver opens connections on which one operation fails.
type faultyDriver struct {
	driver.Connector
	database database

	mu     sync.Mutex
	left   int // operations until the one that fails; 0 if none does
	fault  driverFault
	stuck  bool   // the next rollback fails as well
	fired  string // the operation that failed
	cancel context.CancelFunc
	seen   []string // operations since arm
}

// arm makes the n-th operation from now fail.
func (d *faultyDriver) arm(n int, f driverFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.fault, d.stuck, d.fired, d.seen = n, f, false, "", nil
}

// disarm returns the operation that failed, or "" if there were fewer operations.
func (d *faultyDriver) disarm() (fired string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.stuck = 0, false
	return d.fired
}

// isCommit reports whether an operation commits the transaction. On MariaDB, a statement does.
func isCommit(op string) bool { return op == "Commit" || strings.Contains(op, "; COMMIT;") }

// isRollback reports whether an operation rolls the transaction back.
func isRollback(op string) bool {
	return op == "Rollback" || op == "Query ROLLBACK" || op == "Exec ROLLBACK"
}

// requestBegins sets the function that ends the request's context.
func (d *faultyDriver) requestBegins(cancel context.CancelFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancel = cancel
}

// next records an operation and returns its fault, or "" if it does not fail.
func (d *faultyDriver) next(op string) (driverFault, context.CancelFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, op)
	if d.stuck && isRollback(op) && (op != "Exec ROLLBACK" || !d.database.rollbackWorks) {
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

// faulty returns a pool on the source whose operations can be made to fail.
func (d database) faulty(t testing.TB, source string) (*sql.DB, *faultyDriver) {
	t.Helper()
	plain, err := sql.Open(d.driver, source)
	require.NoError(t, err)
	defer plain.Close()
	f := &faultyDriver{Connector: sourceConnector{source, plain.Driver()}, database: d}
	if with, ok := plain.Driver().(driver.DriverContext); ok {
		f.Connector, err = with.OpenConnector(source)
		require.NoError(t, err)
	}
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	return db, f
}

// A sourceConnector is the connector of a driver that has none.
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
	if _, ok := c.Conn.(driver.Validator); ok { // database/sql keeps connections that a Validator accepts
		return validConn{c}, nil
	}
	return c, nil
}
