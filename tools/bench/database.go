package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A database is a kind of database that the store is measured on.
type database struct {
	name      string
	dialect   sqlstore.Dialect
	driver    string
	source    func(t testing.TB) string // returns a new, empty database
	isolation sql.IsolationLevel
	sizes     []int // of the large tables
}

var (
	postgreSQL = database{"PostgreSQL", sqlstore.PostgreSQL, "pgx", testkit.PostgreSQL, sql.LevelReadCommitted,
		[]int{1_000_000, 10_000_000}}
	sqlite = database{"SQLite", sqlstore.SQLite, "sqlite", func(t testing.TB) string {
		return "file:" + filepath.Join(t.TempDir(), "bench.db") +
			"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	}, sql.LevelDefault, []int{1_000_000}}
)

// mariaDB is measured in round trips only.
var mariaDB = database{name: "MariaDB", dialect: sqlstore.MariaDB, driver: "mysql", source: testkit.MariaDB}

// missing returns why the database cannot be measured, or "".
func (d database) missing() string {
	variable := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "FLOWHOOK_POSTGRES",
		sqlstore.MariaDB:    "FLOWHOOK_MARIADB",
	}[d.dialect]
	if variable != "" && os.Getenv(variable) == "" {
		return variable + " is not set"
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

// migrated returns the source of a new database with the store's tables.
func (d database) migrated(t testing.TB) (source string) {
	source = d.source(t)
	migrate(t, d, source)
	return source
}

// open returns a pool on the database of the source.
func (d database) open(t testing.TB, source string) *sql.DB {
	db, err := sql.Open(d.driver, source)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(idle)
	db.SetMaxIdleConns(idle)
	return db
}

// openPool returns a pool of pgx on the database of the source.
func openPool(t testing.TB, source string) *pgxpool.Pool {
	config, err := pgxpool.ParseConfig(source)
	must(t, err)
	config.MaxConns = idle
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	must(t, err)
	t.Cleanup(pool.Close)
	return pool
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

func poolStore(t testing.TB, pool *pgxpool.Pool) *pgxstore.Store {
	s, err := pgxstore.New(pool)
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

// cleanUp runs the cleanups except for the first n, the newest first. If one of them fails, it runs
// the others.
func (p *program) cleanUp(n int) {
	for len(p.cleanups) > n {
		last := len(p.cleanups) - 1
		f := p.cleanups[last]
		p.cleanups = p.cleanups[:last]
		f()
	}
}

func (p *program) exit(code int) {
	p.cleanUp(0)
	os.Exit(code)
}
