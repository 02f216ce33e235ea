package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A BEGIN IMMEDIATE waits for another writer no longer than its context.
func TestSQLite_BeginWaitsForWriter(t *testing.T) {
	db := sqlite.connect(t, sqliteWith(t, "?_txlock=immediate&_pragma=busy_timeout(20000)"))
	s, err := sqlstore.New(db, sqlite.dialect)
	require.NoError(t, err)
	require.NoError(t, s.Transaction(testContext(t), "a", func(context.Context) error { return nil }))
	writer, err := db.Begin()
	require.NoError(t, err)
	defer writer.Rollback()
	brief, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = s.Transaction(brief, "a", func(context.Context) error { t.Error("fn ran beside a writer"); return nil })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 10*time.Second)
}

// A transaction waits for its turn before it takes a connection.
func TestSQLite_WaitsWithoutConnection(t *testing.T) {
	s, db := sqlite.store(t)
	db.SetMaxOpenConns(1)
	require.NoError(t, s.Transaction(testContext(t), "a", func(context.Context) error {
		brief, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		err := s.Transaction(brief, "b", func(context.Context) error { return nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, db.Stats().WaitCount, "it waited for a connection")
		return nil
	}))
}

// The statements of a sign-in are prepared before the transaction begins.
func TestSQLite_StatementCannotBePrepared(t *testing.T) {
	s, db := sqlite.store(t)
	exec(t, db, "ALTER TABLE flowhook_sessions RENAME COLUMN issued_at TO other")
	require.ErrorContains(t, s.Transaction(testContext(t), "a", func(context.Context) error {
		panic("fn must not run")
	}), "issued_at")
}

// A write outside a transaction waits for another writer no longer than its context.
func TestSQLite_WriteWaitsForWriter(t *testing.T) {
	db := sqlite.connect(t, sqliteWith(t, "?_pragma=busy_timeout(0)"))
	s, err := sqlstore.New(db, sqlite.dialect)
	require.NoError(t, err)
	writer, err := db.Begin()
	require.NoError(t, err)
	defer writer.Rollback()
	exec(t, writer, "DELETE FROM flowhook_sessions WHERE false")
	brief, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.CreateSession(brief, newSession("a")), context.DeadlineExceeded)
}

// Without WAL, a reader prevents a commit. The commit returns a conflict and rolls back.
func TestSQLite_ReaderPreventsCommit(t *testing.T) {
	db := sqlite.connect(t, sqliteWith(t, "?_pragma=busy_timeout(0)&_pragma=journal_mode(DELETE)"))
	s, err := sqlstore.New(db, sqlite.dialect)
	require.NoError(t, err)
	require.NoError(t, s.CreateSession(testContext(t), newSession("b")))
	v := newSession("a")
	var rows *sql.Rows
	err = s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		if err := s.CreateSession(ctx, v); err != nil {
			return err
		}
		rows, err = db.QueryContext(testContext(t), "SELECT id FROM flowhook_sessions")
		require.NoError(t, err)
		require.True(t, rows.Next())
		return nil
	})
	require.NoError(t, rows.Close())
	require.ErrorIs(t, err, sqlstore.ErrConflict)
	requireNone(t, s, v.ID)
	require.NoError(t, s.CreateSession(testContext(t), v), "another attempt succeeds")
}

// If a transaction began only on a second attempt and its commit is refused, it is rolled back
// before its connection is used again.
func TestSQLite_CommitRefusedAfterSecondBegin(t *testing.T) {
	source := sqliteWith(t, "?_pragma=busy_timeout(0)&_pragma=journal_mode(WAL)")
	elsewhere := sqlite.connect(t, source)
	_, r := sqlite.record(t, source)
	refuses := &refusing{recorder: r}
	db := sql.OpenDB(refuses)
	t.Cleanup(func() { db.Close() })
	s, err := sqlstore.New(db, sqlite.dialect)
	require.NoError(t, err)
	login := func() error { return signIn(t, s) }
	require.NoError(t, login())

	writer, err := elsewhere.Begin()
	require.NoError(t, err)
	exec(t, writer, "DELETE FROM flowhook_sessions WHERE false")
	refuses.once.Store(true)
	done := make(chan error, 1)
	go func() { done <- login() }()
	waitUntil(t, func() string {
		if refuses.begun.Load() < 3 {
			return "there was no second BEGIN"
		}
		return ""
	})
	require.NoError(t, writer.Rollback())
	require.ErrorIs(t, <-done, sqlstore.ErrConflict)
	_, err = elsewhere.ExecContext(testContext(t), "DELETE FROM flowhook_sessions")
	require.NoError(t, err, "the connection was returned to the pool with an open transaction")
}

// A refusing driver fails one commit and leaves the transaction open, as SQLite does.
type refusing struct {
	*recorder
	once  atomic.Bool
	begun atomic.Int32
}

func (r *refusing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := r.recorder.Connect(ctx)
	return &refusingConn{c.(*recordedConn), r}, err
}

type refusingConn struct {
	*recordedConn
	r *refusing
}

func (c *refusingConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.r.begun.Add(1)
	tx, err := c.recordedConn.BeginTx(ctx, o)
	return &refusingTx{tx, c.r}, err
}

type refusingTx struct {
	driver.Tx
	r *refusing
}

func (tx *refusingTx) Commit() error {
	if tx.r.once.CompareAndSwap(true, false) {
		return sqliteError(5)
	}
	return tx.Tx.Commit()
}

// The store waits for a writer of another process even if the busy timeout is shorter or zero.
func TestSQLite_WriterInOtherProcess(t *testing.T) {
	d := sqlite
	source := sqliteWith(t, "?_pragma=busy_timeout(0)")
	here, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	there, err := sqlstore.New(d.connect(t, source), d.dialect) // shares only the file, as another process does
	require.NoError(t, err)

	first, second, third := newSession("a"), newSession("b"), newSession("c")
	began, waited := make(chan struct{}), make(chan error, 2)
	go func() {
		<-began
		waited <- here.Transaction(testContext(t), "b", func(ctx context.Context) error {
			return here.CreateSession(ctx, second)
		})
		waited <- here.CreateSession(testContext(t), third)
	}()
	require.NoError(t, there.Transaction(testContext(t), "a", func(ctx context.Context) error {
		close(began)
		brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		other, err := sqlstore.New(d.connect(t, source), d.dialect)
		require.NoError(t, err)
		ran := false
		err = other.Transaction(brief, "c", func(context.Context) error { ran = true; return nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, ran)
		return there.CreateSession(ctx, first)
	}))
	require.NoError(t, <-waited)
	require.NoError(t, <-waited)
	for _, v := range []flowhook.Session{first, second, third} {
		_, err := here.FindSession(testContext(t), v.ID)
		require.NoError(t, err)
	}
}
