package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A recorder is a driver that records each statement once, with its values of the first time.
type recorder struct {
	under  driver.Driver
	source string

	mu   sync.Mutex
	seen []statement
}

type statement struct {
	text   string
	values []any
}

// record opens a pool on the source that records its statements.
func (d database) record(t testing.TB, source string) (*sql.DB, *recorder) {
	t.Helper()
	r := &recorder{under: d.connect(t, source).Driver(), source: source}
	db := sql.OpenDB(r)
	t.Cleanup(func() { db.Close() })
	return db, r
}

func (r *recorder) statements() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

func (r *recorder) note(text string, values []driver.NamedValue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if s.text == text {
			return
		}
	}
	s := statement{text: text}
	for _, v := range values {
		s.values = append(s.values, v.Value)
	}
	r.seen = append(r.seen, s)
}

func (r *recorder) Driver() driver.Driver { return r.under }

func (r *recorder) Connect(context.Context) (driver.Conn, error) {
	c, err := r.under.Open(r.source)
	return &recordedConn{c, r}, err
}

type recordedConn struct {
	driver.Conn
	r *recorder
}

func (c *recordedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c *recordedConn) ExecContext(
	ctx context.Context, text string, values []driver.NamedValue,
) (driver.Result, error) {
	c.r.note(text, values)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, text, values)
}

func (c *recordedConn) QueryContext(ctx context.Context, text string, values []driver.NamedValue) (driver.Rows, error) {
	c.r.note(text, values)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, text, values)
}

func (c *recordedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return &recordedStmt{s, text, c.r}, nil
}

func (c *recordedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type recordedStmt struct {
	driver.Stmt
	text string
	r    *recorder
}

func (s *recordedStmt) ExecContext(ctx context.Context, values []driver.NamedValue) (driver.Result, error) {
	s.r.note(s.text, values)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, values)
}

func (s *recordedStmt) QueryContext(ctx context.Context, values []driver.NamedValue) (driver.Rows, error) {
	s.r.note(s.text, values)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, values)
}

// explain returns the rows of a statement's plan, by column name.
func explain(t testing.TB, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, text string, values ...any) (plan []map[string]string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), text, values...)
	require.NoError(t, err, text)
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		cells := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range cells {
			into[i] = &cells[i]
		}
		require.NoError(t, rows.Scan(into...))
		row := map[string]string{}
		for i, name := range names {
			row[name] = cells[i].String
		}
		plan = append(plan, row)
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, plan, text)
	return plan
}
