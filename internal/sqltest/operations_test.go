package sqltest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// The store runs its guards against the host's statements only if the host asks for the
// transaction.
func TestTransaction_Operations(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, f := d.faulty(t, d.migrated(t))
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
			return slices.ContainsFunc(f.seen, func(op string) bool {
				return strings.HasPrefix(op, "Prepare INSERT INTO flowhook_sessions")
			})
		}
		runs(func(context.Context) {})
		require.Equal(t, d.storePrepares || d.driverPrepares, prepared())
		require.Equal(t, d.runs.own, runs(func(context.Context) {}))
		require.Equal(t, d.driverPrepares, prepared(), "the store prepares only once")
		require.Equal(t, d.runs.lent, runs(func(ctx context.Context) { sqlstore.Tx(ctx) }))
		require.Equal(t, d.runs.lent, runs(func(ctx context.Context) { sqlstore.Conn(ctx); sqlstore.Tx(ctx) }),
			"the guards run once")
	})
}

// After a failure, the store prevents the connection from committing by itself, but only if the
// host has the connection.
func TestTransaction_OperationsAfterFailure(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, f := d.faulty(t, d.migrated(t))
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		v := newSession("a")
		require.NoError(t, s.CreateSession(testContext(t), v))
		runs := func(before, after func(ctx context.Context)) string {
			require.Error(t, s.Transaction(testContext(t), "", func(ctx context.Context) error {
				before(ctx)
				f.arm(0, "")
				err := s.CreateSession(ctx, v) // fails because v is stored already
				after(ctx)
				return err
			}))
			return f.statements()
		}
		nothing := func(context.Context) {}
		require.Equal(t, d.runs.failed, runs(nothing, nothing))
		require.Equal(t, d.runs.failed, runs(nothing, func(ctx context.Context) { sqlstore.Tx(ctx) }))
		require.Equal(t, d.runs.failedEarly, runs(func(ctx context.Context) { sqlstore.Conn(ctx) }, nothing))
		require.Equal(t, d.runs.failedLate, runs(nothing, func(ctx context.Context) {
			sqlstore.Conn(ctx)
			sqlstore.Conn(ctx)
		}))
	})
}

// A connection whose commit was refused is used again. If it cannot be rolled back, it is dropped.
func TestTransaction_ConnectionAfterRefusedCommit(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, f := d.faulty(t, d.migrated(t))
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		login := func() error { return signIn(t, s) }
		require.NoError(t, login())
		f.arm(0, "")
		require.NoError(t, login())
		commit := slices.IndexFunc(f.seen, isCommit) + 1

		faults := map[driverFault]bool{conflicted: true, opStuck: d.rollbackWorks}
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

// A conflict with DeleteExpired does not lose an attempt. A statement that fails for another reason
// is not repeated.
func TestCountAttempt_Conflict(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, f := d.faulty(t, d.migrated(t))
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		attempt := func() (int, error) {
			address := flowhook.Address{Via: "email", Value: "a@example.org"}
			return s.CountAttempt(testContext(t), flowhook.PurposeRecovery, "a", address, time.Now())
		}
		counts := func(op string) bool { return strings.Contains(op, "INTO flowhook_attempts") }
		_, err = attempt()
		require.NoError(t, err)
		f.arm(0, "")
		n, err := attempt()
		require.NoError(t, err)
		require.Equal(t, 2, n)
		at := slices.IndexFunc(f.seen, counts) + 1
		require.Positive(t, at)

		f.arm(at, conflicted)
		n, err = attempt()
		require.True(t, counts(f.disarm()))
		require.NoError(t, err)
		require.Equal(t, 3, n)
		f.arm(at, opBefore)
		_, err = attempt()
		require.ErrorIs(t, err, errOperation)
	})
}

// If the lock of an identity fails, that is the error of the transaction.
func TestTransaction_LockFails(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		db, f := d.faulty(t, d.migrated(t))
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		transaction := func() error {
			return s.Transaction(testContext(t), "a", func(context.Context) error { return nil })
		}
		require.NoError(t, transaction())
		f.arm(0, "")
		require.NoError(t, transaction())
		f.arm(slices.IndexFunc(f.seen, func(op string) bool { return strings.Contains(op, "lock") })+1, conflicted)
		err = transaction()
		require.ErrorIs(t, err, sqlstore.ErrConflict)
		require.ErrorContains(t, err, "sqlstore: begin a transaction: conflict with another transaction: ")
	})
}

// statements returns the operations since arm: the statements, with short names for those of the
// store, and how each transaction began and ended.
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
			case strings.HasPrefix(text, "SELECT pg_catalog"):
				text = "lock"
			case strings.HasPrefix(text, "BEGIN NOT ATOMIC ROLLBACK"):
				text = "begin again and lock"
			case strings.HasPrefix(text, "BEGIN NOT ATOMIC RELEASE"):
				text = "COMMIT"
			}
			all = append(all, text)
		}
	}
	return strings.Join(all, ", ")
}
