package sqltest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// What guards against the host's own statements is run where the host asks for the transaction, and only there.
func TestWhatATransactionRuns(t *testing.T) {
	for i, want := range []struct{ own, lent string }{
		{
			own:  "Begin, DELETE FROM flowhook_sessions WHERE false, find, INSERT, Commit",
			lent: "Begin, DELETE FROM flowhook_sessions WHERE false, SAVEPOINT flowhook, find, BEGIN, INSERT, RELEASE flowhook, Commit",
		},
		{
			own:  "Begin, SELECT pg_advisory_xact_lock($1), find, INSERT, Commit",
			lent: "Begin, SELECT pg_advisory_xact_lock($1), find, INSERT, Commit",
		},
		{
			// The driver's Commit would have no limit: a statement commits, and Rollback ends the *sql.Tx.
			own: "Begin, SELECT stripe FROM flowhook_locks WHERE stripe = 287 FOR UPDATE, find, INSERT, COMMIT, Rollback",
			lent: "Begin, SELECT stripe FROM flowhook_locks WHERE stripe = 287 FOR UPDATE, SET autocommit = 0, SAVEPOINT flowhook, find, INSERT, " +
				"RELEASE SAVEPOINT flowhook, COMMIT, Rollback, SET autocommit = 1",
		},
	} {
		d := databases[i]
		t.Run(d.name, func(t *testing.T) {
			db, f, err := d.faulty(d.migrated(t))
			require.NoError(t, err)
			t.Cleanup(func() { db.Close() })
			s, err := sqlstore.New(db, d.dialect)
			require.NoError(t, err)
			runs := func(fn func(ctx context.Context)) string {
				f.arm(0, "")
				require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
					fn(ctx)
					_, err := s.FindSession(ctx, "none")
					require.ErrorIs(t, err, flowhook.ErrNotFound)
					return s.CreateSession(ctx, newSession("a"))
				}))
				return f.statements()
			}
			prepared := func() bool {
				return slices.ContainsFunc(f.seen, func(op string) bool { return strings.HasPrefix(op, "Prepare INSERT INTO flowhook_sessions") })
			}
			runs(func(context.Context) {})
			require.Equal(t, d.dialect != sqlstore.PostgreSQL, prepared())
			require.Equal(t, want.own, runs(func(context.Context) {}))
			require.Equal(t, d.dialect == sqlstore.MariaDB, prepared(), "on SQLite once, by the store; on MariaDB by the driver, each time")
			require.Equal(t, want.lent, runs(func(ctx context.Context) { sqlstore.Tx(ctx) }))
			require.Equal(t, want.lent, runs(func(ctx context.Context) { sqlstore.Conn(ctx); sqlstore.Tx(ctx) }), "once is enough")
		})
	}
}

// Behind a failure, the connection is kept from committing by itself where the host has it, and only there.
func TestWhatAFailedTransactionRuns(t *testing.T) {
	for i, want := range []struct{ own, early, late string }{
		{
			own:   "INSERT, Rollback",
			early: "BEGIN, INSERT, Rollback, BEGIN, ROLLBACK",
			late:  "INSERT, Rollback, BEGIN, ROLLBACK",
		},
		{
			own:   "INSERT, Rollback",
			early: "INSERT, Rollback, BEGIN, ROLLBACK",
			late:  "INSERT, Rollback, BEGIN, ROLLBACK",
		},
		{
			own:   "INSERT, ROLLBACK, Rollback",
			early: "INSERT, ROLLBACK, Rollback, ROLLBACK, SET autocommit = 1", // it is off
			late:  "INSERT, ROLLBACK, Rollback, BEGIN, ROLLBACK",
		},
	} {
		d := databases[i]
		t.Run(d.name, func(t *testing.T) {
			db, f, err := d.faulty(d.migrated(t))
			require.NoError(t, err)
			t.Cleanup(func() { db.Close() })
			s, err := sqlstore.New(db, d.dialect)
			require.NoError(t, err)
			v := newSession("a")
			require.NoError(t, s.CreateSession(testContext(t), v))
			runs := func(before, behind func(ctx context.Context)) string {
				require.Error(t, s.Transaction(testContext(t), "", func(ctx context.Context) error {
					before(ctx)
					f.arm(0, "")
					err := s.CreateSession(ctx, v) // it is stored already
					behind(ctx)
					return err
				}))
				return f.statements()
			}
			nothing := func(context.Context) {}
			require.Equal(t, want.own, runs(nothing, nothing))
			require.Equal(t, want.own, runs(nothing, func(ctx context.Context) { sqlstore.Tx(ctx) }))
			require.Equal(t, want.early, runs(func(ctx context.Context) { sqlstore.Conn(ctx) }, nothing))
			require.Equal(t, want.late, runs(nothing, func(ctx context.Context) { sqlstore.Conn(ctx); sqlstore.Conn(ctx) }))
		})
	}
}

// A connection whose commit was refused is used again, unless it cannot be rolled back: then it is dropped.
func TestConnectionBehindRefusedCommit(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, f, err := d.faulty(d.migrated(t))
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		login := func() error {
			return s.Transaction(testContext(t), "a", func(ctx context.Context) error { return s.CreateSession(ctx, newSession("a")) })
		}
		require.NoError(t, login())
		f.arm(0, "")
		require.NoError(t, login())
		commit := slices.IndexFunc(f.seen, isCommit) + 1

		faults := map[driverFault]bool{conflicted: true, opStuck: d.dialect == sqlstore.SQLite}
		for fault, used := range faults {
			f.arm(commit, fault)
			require.Error(t, login())
			require.True(t, isCommit(f.disarm()))
			f.arm(0, "")
			require.NoError(t, login())
			require.Equal(t, used, !slices.Contains(f.seen, "Connect"), "%s", fault)
		}
	})
}

// Where the lock of an identity fails, the error says how, and nothing else.
func TestLockFails(t *testing.T) {
	for _, d := range databases[1:] {
		t.Run(d.name, func(t *testing.T) {
			db, f, err := d.faulty(d.migrated(t))
			require.NoError(t, err)
			t.Cleanup(func() { db.Close() })
			s, err := sqlstore.New(db, d.dialect)
			require.NoError(t, err)
			transaction := func() error {
				return s.Transaction(testContext(t), "a", func(context.Context) error { return nil })
			}
			require.NoError(t, transaction())
			f.arm(0, "")
			require.NoError(t, transaction())
			f.arm(slices.IndexFunc(f.seen, func(op string) bool { return strings.Contains(op, "lock") })+1, opBefore)
			require.EqualError(t, transaction(), "sqlstore: wait for the identity: "+errOperation.Error())
		})
	}
}

// statements gives what was run since arm, the store's own statements in short, and how each transaction began and ended.
func (d *faultyDriver) statements() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, op := range d.seen {
		kind, text, _ := strings.Cut(op, " ")
		switch kind {
		case "Begin", "Commit", "Rollback":
			all = append(all, kind)
		case "Exec", "Query":
			switch {
			case strings.HasPrefix(text, "INSERT INTO flowhook"):
				text = "INSERT"
			case strings.HasPrefix(text, "SELECT identity_id"):
				text = "find"
			}
			all = append(all, text)
		}
	}
	return strings.Join(all, ", ")
}
