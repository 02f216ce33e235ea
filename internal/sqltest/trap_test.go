package sqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newSession(identityID string) flowhook.Session {
	now := time.Now()
	return flowhook.Session{ID: rand.Text(), IdentityID: identityID, AuthenticatedAt: now, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
}

// requireNone fails where the store has a session that nothing may have left behind.
func requireNone(t testing.TB, s *sqlstore.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := s.FindSession(testContext(t), id)
		require.ErrorIs(t, err, flowhook.ErrNotFound)
	}
}

// hostTable gives the database a table of the host's own with as many rows, numbered from 1.
func hostTable(t testing.TB, db *sql.DB, rows int) {
	t.Helper()
	exec(t, db, "CREATE TABLE host (id integer PRIMARY KEY, v integer NOT NULL)")
	for id := range rows {
		exec(t, db, strings.Replace("INSERT INTO host (id, v) VALUES (?, 0)", "?", itoa(id+1), 1))
	}
}

func exec(t testing.TB, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, statement string) {
	t.Helper()
	_, err := db.ExecContext(testContext(t), statement)
	require.NoError(t, err, statement)
}

// A hook may swallow the error of a call whose context had ended. What it does next must not be committed all the same.
func TestEndedContextDooms(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		first, second := newSession("a"), newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, first))
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, err := s.FindSession(ended, first.ID)
			require.ErrorIs(t, err, context.Canceled)
			require.Error(t, s.CreateSession(ctx, second), "a write behind the failure")
			tx, _ := sqlstore.Tx(ctx)
			_, err = tx.ExecContext(ctx, "DELETE FROM flowhook_sessions")
			require.ErrorIs(t, err, sql.ErrTxDone, "the host's own statement behind the failure")
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		requireNone(t, s, first.ID, second.ID)
	})
}

// In SQLite, a statement whose own context ends rolls the whole transaction back, and the next one commits by itself.
func TestStatementThatEndsEarly(t *testing.T) {
	const slow = "INSERT INTO host (id, v) WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT i, 0 FROM n"
	d := databases[0]
	s, db := d.store(t)
	hostTable(t, db, 1)

	t.Run("through Tx", func(t *testing.T) {
		before, behind := newSession("a"), newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, before))
			tx, _ := sqlstore.Tx(ctx)
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := tx.ExecContext(short, slow)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Error(t, s.CreateSession(ctx, behind), "a write behind the failure")
			return nil
		})
		require.Error(t, err)
		requireNone(t, s, before.ID, behind.ID)
	})

	t.Run("through Tx, and nothing behind it", func(t *testing.T) {
		before := newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, before))
			tx, _ := sqlstore.Tx(ctx)
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := tx.ExecContext(short, slow)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return nil
		})
		require.Error(t, err, "nothing is saved, so the commit must not be a success")
		requireNone(t, s, before.ID)
	})

	t.Run("Context keeps it from ending early", func(t *testing.T) {
		kept := newSession("a")
		require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, kept))
			tx, _ := sqlstore.Tx(ctx)
			ended, cancel := context.WithCancel(context.WithValue(ctx, key{}, "kept"))
			cancel()
			ended = sqlstore.TxContext(ended)
			require.Equal(t, "kept", ended.Value(key{}), "the values of the statement's context are lost")
			_, err := tx.ExecContext(ended, "UPDATE host SET v = 7")
			return err
		}))
		_, err := s.FindSession(testContext(t), kept.ID)
		require.NoError(t, err)
	})
}

type key struct{}

// In MariaDB, a deadlock rolls the whole transaction back. Where the host ignores it, the next statement would commit by
// itself, and the commit at the end would be a success.
func TestIgnoredDeadlock(t *testing.T) {
	d := databases[2]
	s, db := d.store(t)
	hostTable(t, db, 60)
	before, behind := newSession("a"), newSession("a")
	err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, before))
		err := loseDeadlock(t, db, ctx)
		require.ErrorContains(t, err, "1213")
		require.NoError(t, s.CreateSession(ctx, behind), "MariaDB itself does not notice")
		tx, _ := sqlstore.Tx(ctx)
		_, err = tx.ExecContext(ctx, "UPDATE host SET v = -1 WHERE id = 60")
		require.NoError(t, err)
		return nil
	})
	require.Error(t, err)
	requireNone(t, s, before.ID, behind.ID)
	var v int
	require.NoError(t, db.QueryRow("SELECT v FROM host WHERE id = 60").Scan(&v))
	require.Zero(t, v, "the host's statement behind the deadlock has committed by itself")
	requireAutocommit(t, db)
}

// loseDeadlock makes the transaction of ctx the victim of a deadlock, by a statement of the host's own, and gives that
// statement's error. The other transaction has changed more rows, which makes it the more expensive one to undo.
func loseDeadlock(t *testing.T, db *sql.DB, ctx context.Context) error {
	tx, ok := sqlstore.Tx(ctx)
	require.True(t, ok)
	exec(t, tx, "UPDATE host SET v = 1 WHERE id = 1")
	other, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	exec(t, other, "UPDATE host SET v = 2 WHERE id > 1 AND id < 60")
	waits := make(chan error, 1)
	go func() {
		_, err := other.ExecContext(ctx, "UPDATE host SET v = 2 WHERE id = 1")
		waits <- errors.Join(err, other.Rollback())
	}()
	_, err = tx.ExecContext(ctx, "UPDATE host SET v = 1 WHERE id = 2")
	require.NoError(t, <-waits)
	return err
}

func requireAutocommit(t *testing.T, db *sql.DB) {
	t.Helper()
	ctx := testContext(t)
	var held []*sql.Conn
	for range max(db.Stats().Idle, 1) {
		conn, err := db.Conn(ctx)
		require.NoError(t, err)
		held = append(held, conn)
		var on int
		require.NoError(t, conn.QueryRowContext(ctx, "SELECT @@autocommit").Scan(&on))
		require.Equal(t, 1, on, "a connection came back to the pool without autocommit")
	}
	for _, conn := range held {
		conn.Close()
	}
}

// In MariaDB, a lock wait that times out undoes only its own statement.
func TestLockWaitTimeout(t *testing.T) {
	d := databases[2]
	source := d.migrated(t) + "?innodb_lock_wait_timeout=1"
	s, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	before, held := newSession("a"), newSession("b")
	require.NoError(t, s.CreateSession(testContext(t), held))
	require.NoError(t, s.Transaction(testContext(t), "", func(ctx context.Context) error {
		require.NoError(t, s.DeleteSession(ctx, held.ID))
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, before))
			require.ErrorIs(t, s.DeleteSession(ctx, held.ID), sqlstore.ErrConflict)
			require.Error(t, s.CreateSession(ctx, newSession("a")))
			return nil
		})
		require.ErrorIs(t, err, sqlstore.ErrConflict)
		return nil
	}))
	requireNone(t, s, before.ID)
}

// In MariaDB, a statement such as CREATE TABLE commits what came before it.
func TestStatementThatCommits(t *testing.T) {
	d := databases[2]
	s, db := d.store(t)
	err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		tx, _ := sqlstore.Tx(ctx)
		_, err := tx.ExecContext(ctx, "CREATE TABLE behind (id integer)")
		return err
	})
	require.ErrorContains(t, err, "has ended the transaction")
	requireAutocommit(t, db)
}

// In PostgreSQL, a statement that fails aborts the transaction; that the host ignores it does not make it commit.
func TestIgnoredError(t *testing.T) {
	d := databases[1]
	s, _ := d.store(t)
	v := newSession("a")
	err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, v))
		tx, _ := sqlstore.Tx(ctx)
		_, err := tx.ExecContext(ctx, "SELECT 1 / 0")
		require.Error(t, err)
		return nil
	})
	require.Error(t, err)
	requireNone(t, s, v.ID)
}

// A transaction that has waited for its turn sees what the one before it has committed, whatever isolation level is the
// database's or the connection's default.
func TestIsolationIsTheStores(t *testing.T) {
	levels := map[string]string{
		"PostgreSQL": "?default_transaction_isolation=",
		"MariaDB":    "?tx_isolation=",
	}
	for _, d := range databases[1:] {
		for _, level := range []string{"repeatable read", "serializable"} {
			t.Run(d.name+" "+level, func(t *testing.T) {
				value := strings.ReplaceAll(level, " ", "%20")
				if d.name == "MariaDB" {
					value = "'" + strings.ReplaceAll(strings.ToUpper(level), " ", "-") + "'"
				}
				s, err := sqlstore.New(d.connect(t, d.migrated(t)+levels[d.name]+value), d.dialect)
				require.NoError(t, err)
				loginsLeaveOne(t, s)
			})
		}
	}
}

// loginsLeaveOne runs 32 logins of one user at once.
func loginsLeaveOne(t *testing.T, s *sqlstore.Store) {
	id := rand.Text()
	done := make(chan error)
	for range 32 {
		go func() {
			done <- s.Transaction(testContext(t), id, func(ctx context.Context) error {
				if err := s.DeleteSessions(ctx, id, ""); err != nil {
					return err
				}
				return s.CreateSession(ctx, newSession(id))
			})
		}()
	}
	for range 32 {
		require.NoError(t, <-done)
	}
	left, err := s.ListSessions(testContext(t), id, time.Now(), 100)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// Two transactions that wait for each other's rows: the one that is given up says that trying again is right.
func TestDeadlockIsAConflict(t *testing.T) {
	for _, d := range databases[1:] {
		t.Run(d.name, func(t *testing.T) {
			s, _ := d.store(t)
			rows := [2]flowhook.Session{newSession("a"), newSession("a")}
			for _, v := range rows {
				require.NoError(t, s.CreateSession(testContext(t), v))
			}
			var in [2]chan struct{}
			var done [2]chan error
			for i := range in {
				in[i], done[i] = make(chan struct{}), make(chan error, 1)
			}
			for i := range in {
				go func() {
					done[i] <- s.Transaction(testContext(t), "", func(ctx context.Context) error {
						if err := s.DeleteSession(ctx, rows[i].ID); err != nil {
							return err
						}
						close(in[i])
						<-in[1-i]
						return s.DeleteSession(ctx, rows[1-i].ID)
					})
				}()
			}
			errs := []error{<-done[0], <-done[1]}
			if errs[0] == nil {
				errs[0], errs[1] = errs[1], errs[0]
			}
			require.ErrorIs(t, errs[0], sqlstore.ErrConflict)
			require.NoError(t, errs[1])
		})
	}
}

// Another process may be SQLite's writer for longer than the busy time-out, which may be zero.
func TestWriterElsewhere(t *testing.T) {
	d := databases[0]
	source, _, _ := strings.Cut(d.migrated(t), "?")
	source += "?_pragma=busy_timeout(0)"
	here, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	there, err := sqlstore.New(d.connect(t, source), d.dialect) // shares nothing but the file, as another process would
	require.NoError(t, err)

	first, second, third := newSession("a"), newSession("b"), newSession("c")
	began, waited := make(chan struct{}), make(chan error, 2)
	go func() {
		<-began
		waited <- here.Transaction(testContext(t), "b", func(ctx context.Context) error { return here.CreateSession(ctx, second) })
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

// The text of an error goes to a log. Databases quote the key that is there twice.
func TestErrorsDoNotQuote(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		v := newSession("the-identity")
		require.NoError(t, s.CreateSession(testContext(t), v))
		err := s.CreateSession(testContext(t), v)
		require.ErrorContains(t, err, "stored already")
		for e := err; e != nil; e = errors.Unwrap(e) {
			require.NotContains(t, e.Error(), v.ID)
			require.NotContains(t, e.Error(), v.IdentityID)
		}
	})
}
