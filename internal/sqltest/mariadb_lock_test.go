package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// In MariaDB, a deadlock rolls back the whole transaction. If the host ignores that, the next
// statement would commit by itself, and the commit at the end would succeed.
func TestMariaDB_HostIgnoresDeadlock(t *testing.T) {
	s, db := mariaDB.store(t)
	hostTable(t, db, 60)
	before, after := newSession("a"), newSession("a")
	err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, before))
		err := loseDeadlock(t, db, ctx)
		require.ErrorContains(t, err, "1213")
		require.NoError(t, s.CreateSession(ctx, after), "MariaDB itself does not notice")
		tx, _ := sqlstore.Tx(ctx)
		_, err = tx.ExecContext(ctx, "UPDATE host SET v = -1 WHERE id = 60")
		require.NoError(t, err)
		return nil
	})
	require.Error(t, err)
	requireNone(t, s, before.ID, after.ID)
	require.Zero(t, count(t, db, "SELECT v FROM host WHERE id = 60"), "the host's statement committed by itself")
	mariaDB.requireUntouched(t, db, "")
}

// loseDeadlock makes the transaction of ctx the victim of a deadlock and returns the error of the
// host's statement. MariaDB spares the other transaction because that has changed more rows.
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

// In MariaDB, the timeout of a lock wait undoes only one statement. The store fails the whole
// transaction.
func TestMariaDB_LockWaitTimeout(t *testing.T) {
	source := mariaDB.migrated(t) + "?innodb_lock_wait_timeout=1"
	s, err := sqlstore.New(mariaDB.connect(t, source), mariaDB.dialect)
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

// In MariaDB, a statement such as CREATE TABLE commits the transaction.
func TestMariaDB_HostStatementCommits(t *testing.T) {
	s, db := mariaDB.store(t)
	err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		tx, _ := sqlstore.Tx(ctx)
		_, err := tx.ExecContext(ctx, "CREATE TABLE other (id integer)")
		return err
	})
	require.ErrorContains(t, err, "has ended the transaction")
	mariaDB.requireUntouched(t, db, "")
}

// A host must not close the connection. If it does, the commit cannot be sent.
func TestMariaDB_HostClosesConnection(t *testing.T) {
	s, _ := mariaDB.store(t)
	v, closed := newSession("a"), make(chan error)
	require.Error(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, v))
		conn, ok := sqlstore.Conn(ctx)
		require.True(t, ok)
		go func() { closed <- conn.Close() }() // it waits for the transaction to end
		waitUntil(t, func() string {
			if err := conn.PingContext(ctx); !errors.Is(err, sql.ErrConnDone) {
				return "the connection is still open"
			}
			return ""
		})
		return nil
	}))
	<-closed
	requireNone(t, s, v.ID)
}

// While DeleteExpired waits for a row that is in use, others can insert rows between those that it
// has read. Gap locks would cause a deadlock.
func TestDeleteExpired_NoGapLocks(t *testing.T) {
	s, db := mariaDB.store(t)
	old := newSession("old")
	old.ExpiresAt = time.Now().Add(-time.Hour)
	held := newSession("held")
	held.ExpiresAt = time.Now().Add(-2 * time.Hour)
	require.NoError(t, s.CreateSession(testContext(t), old))
	require.NoError(t, s.CreateSession(testContext(t), held))
	clean := make(chan error, 1)
	err := s.Transaction(testContext(t), "held", func(ctx context.Context) error {
		if err := s.DeleteSessions(ctx, "old", ""); err != nil { // as a login does
			return err
		}
		go func() {
			_, err := s.DeleteExpired(testContext(t), time.Now(), 10)
			clean <- err
		}()
		waitUntil(t, func() string {
			if count(t, db, "SELECT count(*) FROM information_schema.processlist WHERE db = database() "+
				"AND info LIKE 'DELETE FROM flowhook_sessions WHERE expires_at%'") == 0 {
				return "DeleteExpired does not wait"
			}
			return ""
		})
		v := newSession("held")
		v.ExpiresAt = time.Now().Add(-90 * time.Minute)
		return s.CreateSession(ctx, v)
	})
	require.NoError(t, err)
	require.NoError(t, <-clean)
}
