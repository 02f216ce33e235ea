package main

import (
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

// TestConnections checks that a copy uses no more connections than main.go documents.
func TestConnections(t *testing.T) {
	db, err := openDatabase(t.Context(), config{Dialect: sqlstore.PostgreSQL, Database: testkit.PostgreSQL(t)})
	require.NoError(t, err)
	defer db.Close()
	require.EqualValues(t, 20, db.pool.Config().MaxConns)
	require.Equal(t, connectionLifetime, db.pool.Config().MaxConnLifetime)
}
