package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

func countOf(t testing.TB, db *sql.DB, q string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(testContext(t), q).Scan(&n))
	return n
}

// What the host does with the connection, behind a failure that it ignores, does not commit by itself.
func TestConnBehindFailure(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(map[bool]string{true: "late", false: "early"}[late], func(t *testing.T) {
			each(t, func(t *testing.T, d database) {
				s, db := d.store(t)
				hostTable(t, db, 0)
				v := newSession("a")
				require.NoError(t, s.CreateSession(testContext(t), v))
				err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
					var conn *sql.Conn
					if !late {
						conn, _ = sqlstore.Conn(ctx)
					}
					require.Error(t, s.CreateSession(ctx, v))
					if late {
						conn, _ = sqlstore.Conn(ctx)
					}
					_, err := conn.ExecContext(ctx, "INSERT INTO host (id, v) VALUES (1, 1)")
					require.NoError(t, err, "it is the host's, on a connection of its own as it seems")
					return nil
				})
				require.Error(t, err)
				require.Zero(t, countOf(t, db, "SELECT count(*) FROM host"))
			})
		})
	}
}

// Two stores on one pool are one: the second does not wait for what the first holds.
func TestTwoStoresOnePool(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		s2, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		v := newSession("a")
		err = s.Transaction(ctx, "a", func(ctx context.Context) error {
			return s2.Transaction(ctx, "a", func(ctx context.Context) error { return s2.CreateSession(ctx, v) })
		})
		require.NoError(t, err)
	})
}

// A joining call waits for its turn for as long as its own context lasts, which may end before the transaction's.
func TestJoinWaitsAsLongAsCtx(t *testing.T) {
	for _, d := range databases[1:] {
		t.Run(d.name, func(t *testing.T) {
			s, db := d.store(t)
			in, out := make(chan struct{}), make(chan struct{})
			done := make(chan error, 1)
			go func() {
				done <- s.Transaction(testContext(t), "b", func(ctx context.Context) error { close(in); <-out; return nil })
			}()
			<-in
			outer, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			err := s.Transaction(outer, "a", func(ctx context.Context) error {
				brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
				began := time.Now()
				err := s.Transaction(brief, "b", func(ctx context.Context) error { return nil })
				require.Less(t, time.Since(began), time.Second)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				return nil
			})
			close(out)
			require.NoError(t, <-done)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error { return nil }))
			require.Zero(t, db.Stats().InUse)
		})
	}
}

// Rows that the host leaves open do not keep the transaction from ending.
func TestOpenRows(t *testing.T) {
	for _, how := range []string{"Tx", "Conn"} {
		t.Run(how, func(t *testing.T) {
			each(t, func(t *testing.T, d database) {
				s, db := d.store(t)
				hostTable(t, db, 3)
				done := make(chan error, 1)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() {
					done <- s.Transaction(ctx, "a", func(ctx context.Context) error {
						var q interface {
							QueryContext(context.Context, string, ...any) (*sql.Rows, error)
						}
						if how == "Tx" {
							q, _ = sqlstore.Tx(ctx)
						} else {
							q, _ = sqlstore.Conn(ctx)
						}
						rows, err := q.QueryContext(sqlstore.TxContext(ctx), "SELECT id FROM host")
						if err != nil {
							return err
						}
						rows.Next()
						return nil
					})
				}()
				select {
				case err := <-done:
					t.Log(err)
				case <-time.After(3 * time.Second):
					t.Fatal("Transaction does not return")
				}
				require.Zero(t, db.Stats().InUse)
			})
		})
	}
}

// What Context gives ends with the transaction, not only with the request.
func TestContextEnds(t *testing.T) {
	s, _ := databases[0].store(t)
	var c context.Context
	require.NoError(t, s.Transaction(context.Background(), "a", func(ctx context.Context) error { c = sqlstore.TxContext(ctx); return nil }))
	require.Error(t, c.Err())
}

// A host's savepoint may stand around a call of the store.
func TestSavepoint(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		v, w := newSession("a"), newSession("a")
		require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, v))
			tx, _ := sqlstore.Tx(ctx)
			exec(t, tx, "SAVEPOINT host")
			require.NoError(t, s.CreateSession(ctx, w))
			exec(t, tx, "ROLLBACK TO SAVEPOINT host")
			exec(t, tx, "RELEASE SAVEPOINT host")
			return nil
		}))
		requireNone(t, s, w.ID)
		_, err := s.FindSession(testContext(t), v.ID)
		require.NoError(t, err)
	})
}

// A clean-up that waits for a row in use does not keep others from storing what expires between the rows that it has
// gone through; it would be a deadlock.
func TestExpiredGap(t *testing.T) {
	d := databases[2]
	s, db := d.store(t)
	old := newSession("old")
	old.ExpiresAt = time.Now().Add(-time.Hour)
	held := newSession("held")
	held.ExpiresAt = time.Now().Add(-2 * time.Hour)
	require.NoError(t, s.CreateSession(testContext(t), old))
	require.NoError(t, s.CreateSession(testContext(t), held))
	clean := make(chan error, 1)
	err := s.Transaction(testContext(t), "held", func(ctx context.Context) error {
		if err := s.DeleteSessions(ctx, "old", ""); err != nil { // a login of old
			return err
		}
		go func() {
			_, err := s.DeleteExpired(testContext(t), time.Now(), 10)
			clean <- err
		}()
		waitUntil(t, func() string {
			if countOf(t, db, "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND info LIKE 'DELETE FROM flowhook_sessions WHERE expires_at%'") == 0 {
				return "nobody waits"
			}
			return ""
		})
		v := newSession("held")
		v.ExpiresAt = time.Now().Add(-90 * time.Minute)
		return s.CreateSession(ctx, v)
	})
	require.NoError(t, err, "login")
	require.NoError(t, <-clean)
}

// A joining call is not run where the transaction is doomed or over, with no identity to wait for.
func TestJoinUnusable(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		var inside context.Context
		require.Error(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			inside = ctx
			require.NoError(t, s.Transaction(ctx, "", func(context.Context) error { return nil }))
			require.Error(t, s.Transaction(ctx, "", func(context.Context) error { return context.Canceled }))
			require.Error(t, s.Transaction(ctx, "", func(context.Context) error { t.Error("fn runs in what has failed"); return nil }))
			return nil
		}))
		require.Error(t, s.Transaction(inside, "", func(context.Context) error { t.Error("fn runs in what is over"); return nil }))
	})
}

// The context of a joining call ends while its fn runs.
func TestJoinEnds(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		v := newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			brief, cancel := context.WithCancel(ctx)
			require.ErrorIs(t, s.Transaction(brief, "", func(ctx context.Context) error {
				defer cancel()
				return s.CreateSession(ctx, v)
			}), context.Canceled)
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		requireNone(t, s, v.ID)
	})
}

// A joining call in another goroutine is still running when fn returns.
func TestJoinStillRuns(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		v := newSession("a")
		out, joined := make(chan struct{}), make(chan error, 1)
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			in := make(chan struct{})
			go func() {
				joined <- s.Transaction(ctx, "", func(ctx context.Context) error {
					err := s.CreateSession(ctx, v)
					close(in)
					<-out
					return err
				})
			}()
			<-in
			return nil
		})
		require.ErrorContains(t, err, "still running")
		close(out)
		<-joined
		requireNone(t, s, v.ID)
	})
}

// A BEGIN that waits for SQLite's writer waits no longer than its context lasts.
func TestBeginWaits(t *testing.T) {
	d := databases[0]
	source, _, _ := strings.Cut(d.migrated(t), "?")
	db := d.connect(t, source+"?_txlock=immediate&_pragma=busy_timeout(20000)")
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	require.NoError(t, s.Transaction(testContext(t), "a", func(context.Context) error { return nil }))
	writer, err := db.Begin()
	require.NoError(t, err)
	defer writer.Rollback()
	brief, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = s.Transaction(brief, "a", func(context.Context) error { t.Error("there is a writer"); return nil })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 10*time.Second)
}

// Without WAL, a reader is in the way of a commit.
func TestReaderBesideCommit(t *testing.T) {
	d := databases[0]
	source, _, _ := strings.Cut(d.migrated(t), "?")
	db := d.connect(t, source+"?_pragma=busy_timeout(0)&_pragma=journal_mode(DELETE)")
	s, err := sqlstore.New(db, d.dialect)
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
	require.NoError(t, s.CreateSession(testContext(t), v), "trying again")
}

// refusing is a driver whose commit is refused once, and leaves the transaction open, as SQLite does.
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

// A transaction that could begin only when it was tried again, and whose commit is refused, is rolled back all the
// same before its connection is used again.
func TestRefusedCommitOfSecondTry(t *testing.T) {
	d := databases[0]
	source, _, _ := strings.Cut(d.migrated(t), "?")
	source += "?_pragma=busy_timeout(0)&_pragma=journal_mode(WAL)"
	elsewhere := d.connect(t, source)
	_, r := d.record(t, source)
	refuses := &refusing{recorder: r}
	db := sql.OpenDB(refuses)
	t.Cleanup(func() { db.Close() })
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	login := func() error {
		return s.Transaction(testContext(t), "a", func(ctx context.Context) error { return s.CreateSession(ctx, newSession("a")) })
	}
	require.NoError(t, login())

	writer, err := elsewhere.Begin()
	require.NoError(t, err)
	exec(t, writer, "DELETE FROM flowhook_sessions WHERE false")
	refuses.once.Store(true)
	done := make(chan error, 1)
	go func() { done <- login() }()
	waitUntil(t, func() string {
		if refuses.begun.Load() < 3 {
			return "it has not been tried again"
		}
		return ""
	})
	require.NoError(t, writer.Rollback())
	require.ErrorIs(t, <-done, sqlstore.ErrConflict)
	_, err = elsewhere.ExecContext(testContext(t), "DELETE FROM flowhook_sessions")
	require.NoError(t, err, "the connection went back with its transaction open")
}

// What ends the transaction through Conn is noticed, as it is through Tx.
func TestEndedThroughConn(t *testing.T) {
	for d, statement := range map[int]string{0: "ROLLBACK", 2: "CREATE TABLE behind (id integer)"} {
		t.Run(databases[d].name, func(t *testing.T) {
			s, _ := databases[d].store(t)
			err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
				conn, _ := sqlstore.Conn(ctx)
				exec(t, conn, statement)
				return nil
			})
			require.ErrorContains(t, err, "has ended the transaction")
		})
	}
}

// A write by itself waits for SQLite's writer for as long as its context lasts.
func TestWriteWaitsForWriter(t *testing.T) {
	d := databases[0]
	source, _, _ := strings.Cut(d.migrated(t), "?")
	db := d.connect(t, source+"?_pragma=busy_timeout(0)")
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	writer, err := db.Begin()
	require.NoError(t, err)
	defer writer.Rollback()
	exec(t, writer, "DELETE FROM flowhook_sessions WHERE false")
	brief, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.CreateSession(brief, newSession("a")), context.DeadlineExceeded)
}

// A transaction whose context ends is rolled back at once, and keeps nobody waiting for what its fn still does.
func TestEndOfContextReleases(t *testing.T) {
	for _, d := range databases[1:] {
		t.Run(d.name, func(t *testing.T) {
			s, _ := d.store(t)
			outer, cancel := context.WithCancel(testContext(t))
			require.ErrorIs(t, s.Transaction(outer, "a", func(context.Context) error {
				cancel()
				return s.Transaction(testContext(t), "a", func(context.Context) error { return nil })
			}), context.Canceled)
		})
	}
}
