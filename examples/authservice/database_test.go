package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

// TestConnections checks that a copy uses no more connections than main.go documents.
func TestConnections(t *testing.T) {
	db, err := openDatabase(t.Context(), config{Dialect: sqlstore.PostgreSQL, Database: newPostgreSQL(t)})
	require.NoError(t, err)
	defer db.Close()
	require.EqualValues(t, 20, db.pool.Config().MaxConns)
	require.Equal(t, connectionLifetime, db.pool.Config().MaxConnLifetime)
}

// TestDatabaseClose_ConnectionInUse checks that Close does not wait for a connection that is in
// use.
func TestDatabaseClose_ConnectionInUse(t *testing.T) {
	db, err := openDatabase(t.Context(), config{Dialect: sqlstore.PostgreSQL, Database: newPostgreSQL(t)})
	require.NoError(t, err)
	kept, err := db.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer kept.Release()
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		require.Fail(t, "Close waits for the connection")
	}
}

// TestAlone_Waits checks that a start that waits for another copy says so, and that one that does not
// wait says nothing.
func TestAlone_Waits(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		db := newSite(t, database).service.db
		first, second := &lockedBuffer{}, &lockedBuffer{}
		nothing := func(context.Context) error { return nil }
		err := db.alone(t.Context(), newLogger(first, "text", slog.LevelInfo), func(ctx context.Context) error {
			waiting, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- db.alone(waiting, newLogger(second, "text", slog.LevelInfo), nothing) }()
			require.Eventually(t, func() bool { return len(second.lines("waiting for the startup lock")) == 1 },
				20*time.Second, 10*time.Millisecond)
			stop()
			require.Error(t, <-ended)
			return nil
		})
		require.NoError(t, err)
		require.Empty(t, first.String())
	})
}
