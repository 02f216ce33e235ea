package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

func TestNewWithOptions_BadOptions(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.source(t))
		_, err := sqlstore.NewWithOptions(db, d.dialect, sqlstore.Options{AnswerTimeout: -1})
		require.ErrorContains(t, err, "AnswerTimeout is -1ns")
		_, err = sqlstore.NewWithOptions(db, d.dialect, sqlstore.Options{RowLocks: true})
		if d.dialect == sqlstore.PostgreSQL {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, `RowLocks is for the dialect "postgres"`)
	})
}

func TestVerify(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		require.NoError(t, s.Verify(t.Context()))
	})
	t.Run("pool of one connection", func(t *testing.T) {
		s, db := postgreSQL.store(t)
		db.SetMaxOpenConns(1)
		require.ErrorContains(t, s.Verify(t.Context()), "the pool is limited to one")
		db.SetMaxOpenConns(2)
		require.NoError(t, s.Verify(t.Context()))
	})
	t.Run("row locks", func(t *testing.T) {
		d := postgreSQL
		db := d.connect(t, d.migrated(t))
		s, err := sqlstore.NewWithOptions(db, d.dialect, sqlstore.Options{RowLocks: true})
		require.NoError(t, err)
		require.NoError(t, s.Verify(t.Context()))
		exec(t, db, "DELETE FROM flowhook_locks")
		require.ErrorIs(t, signIn(t, s), sql.ErrNoRows, "without the row, nobody would wait")
	})
}

// A server that limits statements ends the wait for an identity. That is a conflict.
func TestPostgreSQL_StatementTimeout(t *testing.T) {
	d := postgreSQL
	source := d.migrated(t)
	s, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	hurried, err := sqlstore.New(d.connect(t, source+"?statement_timeout=50"), d.dialect)
	require.NoError(t, err)
	nothing := func(context.Context) error { return nil }
	require.NoError(t, s.Transaction(testContext(t), "a", func(context.Context) error {
		require.ErrorIs(t, hurried.Transaction(testContext(t), "a", nothing), sqlstore.ErrConflict, "at the beginning")
		require.ErrorIs(t, hurried.Transaction(testContext(t), "b", func(ctx context.Context) error {
			return hurried.Transaction(ctx, "a", nothing)
		}), sqlstore.ErrConflict, "when it joins")
		return nil
	}))
	require.NoError(t, signIn(t, hurried), "the connection can be used again")
}

// With autocommit off, a call outside of a transaction would store nothing, without an error.
func TestMariaDB_AutocommitOff(t *testing.T) {
	d := mariaDB
	source := d.migrated(t)
	db := d.connect(t, source+"?autocommit=0")
	for name, call := range map[string]func(s *sqlstore.Store) error{
		"write": func(s *sqlstore.Store) error { return s.CreateSession(testContext(t), newSession("a")) },
		"read": func(s *sqlstore.Store) error {
			_, err := s.FindSession(testContext(t), "none")
			return err
		},
		"transaction": func(s *sqlstore.Store) error { return signIn(t, s) },
	} {
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		for range 2 {
			require.ErrorContains(t, call(s), "remove autocommit=0 from the DSN", name)
		}
	}
	require.Zero(t, count(t, d.connect(t, source), "SELECT count(*) FROM flowhook_sessions"))
}

// Only the first call of a store asks for autocommit.
func TestMariaDB_AutocommitAskedOnce(t *testing.T) {
	d := mariaDB
	db, f := d.faulty(t, d.migrated(t))
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	f.arm(0, "")
	for range 3 {
		require.NoError(t, errors.Join(signIn(t, s), s.DeleteSession(testContext(t), "none")))
	}
	asked := 0
	for _, op := range f.seen {
		if op == "Query SELECT @@autocommit" {
			asked++
		}
	}
	require.Equal(t, 1, asked)
}
