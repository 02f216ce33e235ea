// Package sqltest tests store/sqlstore with the drivers that its hosts use.
package sqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/flowhook/flowhook/store/storetest"
)

// A database is one of those that the tests run on.
type database struct {
	name    string
	driver  string
	dialect sqlstore.Dialect
	source  func(t testing.TB) string // of a new, empty one
}

var databases = []database{
	{"SQLite", "sqlite", sqlstore.SQLite, func(t testing.TB) string {
		return "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	}},
	{"PostgreSQL", "pgx", sqlstore.PostgreSQL, testkit.PostgreSQL},
	{"MariaDB", "mysql", sqlstore.MariaDB, testkit.MariaDB},
}

// each runs a test on all databases.
func each(t *testing.T, test func(t *testing.T, d database)) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { test(t, d) })
	}
}

// connect opens a pool on the source.
func (d database) connect(t testing.TB, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(40)
	db.SetMaxIdleConns(40)
	return db
}

// migrated gives the source of a new database that has the store's tables.
func (d database) migrated(t testing.TB) (source string) {
	t.Helper()
	source = d.source(t)
	db, err := sql.Open(d.driver, source)
	require.NoError(t, err)
	defer db.Close()
	p, err := goose.NewProvider(goose.Dialect(d.dialect), db, d.dialect.Migrations())
	require.NoError(t, err)
	_, err = p.Up(context.Background())
	require.NoError(t, err)
	return source
}

// store gives a store in a new database.
func (d database) store(t testing.TB) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := d.connect(t, d.migrated(t))
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	return s, db
}

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return s, rand.Text })
	})
}
