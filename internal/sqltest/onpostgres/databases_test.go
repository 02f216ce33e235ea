package onpostgres

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// requireWorks asserts that a store on the database can write in a transaction.
func requireWorks(t *testing.T, db *sql.DB, dialect sqlstore.Dialect) {
	t.Helper()
	store, err := sqlstore.New(db, dialect)
	require.NoError(t, err)
	require.NoError(t, store.Transaction(t.Context(), "alice", func(ctx context.Context) error {
		return store.CreateSession(ctx, flowhook.Session{
			ID: "one", IdentityID: "alice", ExpiresAt: time.Now().Add(time.Hour),
		})
	}))
	_, err = store.FindSession(t.Context(), "one")
	require.NoError(t, err)
}

func TestMariaDB(t *testing.T) {
	server, err := mysql.ParseDSN(testkit.MariaDB(t))
	require.NoError(t, err)
	config := mariaDBConfig(server.User, server.Passwd, server.Addr, server.DBName)
	db, err := openMariaDB(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var seconds int
	require.NoError(t, db.QueryRow("SELECT @@innodb_lock_wait_timeout").Scan(&seconds))
	require.Greater(t, config.ReadTimeout, time.Duration(seconds)*time.Second,
		"a shorter timeout would lose the connection while it waits for a lock")
	requireAtOnce(t, func() error { return migrateMariaDB(t.Context(), db) })
	requireWorks(t, db, sqlstore.MariaDB)
}

func TestSQLite(t *testing.T) {
	db, err := openSQLite(filepath.Join(t.TempDir(), "auth.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, migrateSQLite(t.Context(), db))
	require.NoError(t, migrateSQLite(t.Context(), db), "the second start")
	require.Zero(t, count(t, db, "sqlite_master WHERE name = 'goose_db_version'"),
		"the default table of goose is left to the host")
	requireWorks(t, db, sqlstore.SQLite)
}
