package main

import (
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
