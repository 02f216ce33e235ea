package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A database is a kind of database that the store is measured on.
type database struct {
	name      string
	dialect   sqlstore.Dialect
	driver    string
	source    func(t testing.TB) string // returns a new, empty database
	isolation sql.IsolationLevel
}

var (
	postgreSQL = database{"PostgreSQL", sqlstore.PostgreSQL, "pgx", testkit.PostgreSQL, sql.LevelReadCommitted}
	sqlite     = database{"SQLite", sqlstore.SQLite, "sqlite", func(t testing.TB) string {
		return "file:" + filepath.Join(t.TempDir(), "bench.db") +
			"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	}, sql.LevelDefault}
)

// missing returns why the database cannot be measured, or "".
func (d database) missing() string {
	if d.dialect == sqlstore.PostgreSQL && os.Getenv("FLOWHOOK_POSTGRES") == "" {
		return "FLOWHOOK_POSTGRES is not set"
	}
	return ""
}

// placeholders writes a query's placeholders as the database expects them.
func (d database) placeholders(query string) string {
	for n := 1; d.dialect == sqlstore.PostgreSQL && strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
	}
	return query
}

// idle is how many connections a pool may open and keep.
const idle = 40

// open returns a pool on a new database with the store's tables.
func (d database) open(t testing.TB) *sql.DB {
	source := d.source(t)
	migrate(t, d, source)
	db, err := sql.Open(d.driver, source)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(idle)
	db.SetMaxIdleConns(idle)
	return db
}

func migrate(t testing.TB, d database, source string) {
	db, err := sql.Open(d.driver, source)
	must(t, err)
	defer db.Close()
	p, err := goose.NewProvider(goose.Dialect(d.dialect), db, d.dialect.Migrations())
	must(t, err)
	_, err = p.Up(context.Background())
	must(t, err)
}

func store(t testing.TB, db *sql.DB, d sqlstore.Dialect) *sqlstore.Store {
	s, err := sqlstore.New(db, d)
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A program is a testing.TB outside of a test. The first failure ends it.
type program struct {
	testing.TB
	cleanups []func()
}

func (p *program) Helper() {}

func (p *program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

func (p *program) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"bench:"}, args...)...)
	p.exit(1)
}

func (p *program) Fatalf(format string, args ...any) { p.Fatal(fmt.Sprintf(format, args...)) }

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "bench")
	must(p, err)
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// exit runs the cleanups, the newest first.
func (p *program) exit(code int) {
	cleanups := p.cleanups
	p.cleanups = nil
	for _, f := range slices.Backward(cleanups) {
		f()
	}
	os.Exit(code)
}
