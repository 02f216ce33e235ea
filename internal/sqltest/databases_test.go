// Package sqltest tests store/sqlstore on databases, with the drivers that its hosts use.
package sqltest

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// databases are the databases that the tests run on. Each is described in a file of its own.
var databases = []database{sqlite, postgreSQL, mariaDB}

// A database is everything that the tests know about one database and its driver.
type database struct {
	name    string
	driver  string
	dialect sqlstore.Dialect
	source  func(t testing.TB) string // creates an empty database and returns its source

	numbered  bool // placeholders are $1, $2 and so on, not ?
	oneWriter bool // a transaction locks the whole database

	// The ways in which an INSERT of the store is prepared: once by the store, or each time because
	// the driver takes no arguments without preparing.
	storePrepares, driverPrepares bool

	runs             operations
	commit           string // the statement that commits
	ends             string // ends the transaction if a host runs it through Conn; empty if there is no such test
	openTransactions string // counts the open transactions; empty if the database has no such query
	untouched        string // selects whether a connection is in its original state; empty if it cannot change
	analyze          string // updates the statistics that query plans are made from

	// scans returns the steps of a statement's plan that read a whole table or a whole index.
	scans func(t *testing.T, db *sql.DB, s statement) (steps []string)

	// conflict returns the driver's error for a fault that is a conflict. With run, it does to the
	// transaction what the database would do.
	conflict func(f driverFault, commit bool, run func(statement string)) error

	// rollbackWorks is set if a ROLLBACK statement fails only when no transaction is open.
	rollbackWorks bool

	// These are set for a database that is reached over TCP.
	redirect       func(t testing.TB, source, address string) (server, redirected string)
	protocol       proxy.Protocol
	isolation      func(level string) (parameters string) // sets the default isolation level
	others         string                                 // selects the IDs of the other connections to the database
	terminate      func(id int) (statement string)        // ends a connection
	connectTimeout string                                 // parameters that limit connecting to a second
	closesAtOnce   bool                                   // the driver closes a stalled connection without delay
}

// operations are what a transaction runs on the driver, in the notation of faultyDriver.statements.
type operations struct {
	own  string // the host does not ask for the transaction
	lent string // the host asks for it

	failed      string // a statement fails, and the host does not ask for the connection
	failedEarly string // the host has asked for the connection before the failure
	failedLate  string // the host asks for it after the failure
}

// each runs a test on all databases.
func each(t *testing.T, test func(t *testing.T, d database)) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { test(t, d) })
	}
}

// eachServer runs a test on all databases in which transactions run at the same time.
func eachServer(t *testing.T, test func(t *testing.T, d database)) {
	for _, d := range databases {
		if !d.oneWriter {
			t.Run(d.name, func(t *testing.T) { test(t, d) })
		}
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

// through opens a proxy to the database of a source. It returns the source by way of the proxy.
func (d database) through(t testing.TB, source string) (p *proxy.Proxy, redirected string) {
	t.Helper()
	server, _ := d.redirect(t, source, "")
	p, err := proxy.Open(d.protocol, server)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	_, redirected = d.redirect(t, source, p.Address())
	return p, redirected
}

// migrations returns a provider of the store's migrations.
func (d database) migrations(t testing.TB, db *sql.DB) *goose.Provider {
	t.Helper()
	p, err := goose.NewProvider(goose.Dialect(d.dialect), db, d.dialect.Migrations())
	require.NoError(t, err)
	return p
}

// migrated returns the source of a new database with the store's tables.
func (d database) migrated(t testing.TB) (source string) {
	t.Helper()
	source = d.source(t)
	db, err := sql.Open(d.driver, source)
	require.NoError(t, err)
	defer db.Close()
	_, err = d.migrations(t, db).Up(context.Background())
	require.NoError(t, err)
	return source
}

// store returns a store in a new database.
func (d database) store(t testing.TB) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	db := d.connect(t, d.migrated(t))
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	return s, db
}

// bind numbers the placeholders of a query if the database requires it.
func (d database) bind(query string) string {
	if !d.numbered {
		return query
	}
	parts := strings.Split(query, "?")
	for n := range parts[1:] {
		parts[n] += "$" + strconv.Itoa(n+1)
	}
	return strings.Join(parts, "")
}

// requireUntouched asserts that every idle connection of a pool is in its original state: it has no
// open transaction and commits each statement.
func (d database) requireUntouched(t testing.TB, db *sql.DB, name string) {
	t.Helper()
	if d.untouched == "" {
		return
	}
	for range max(db.Stats().Idle, 1) {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err, name)
		defer conn.Close() // not before the end, so that the next one is another
		var untouched bool
		require.NoError(t, conn.QueryRowContext(t.Context(), d.untouched).Scan(&untouched), name)
		require.True(t, untouched, name)
	}
}
