// Package testdb gives tests a database of their own on a server that is there already. Who imports it registers the
// driver: "pgx" for PostgreSQL, "mysql" for MariaDB.
//
// FLOWHOOK_POSTGRES is a URL, as postgres://user:password@host:port/database, and FLOWHOOK_MARIADB a DSN of
// github.com/go-sql-driver/mysql, as user:password@tcp(host:port)/; either user may create databases. Where one is not
// set, a test that needs it is skipped, unless FLOWHOOK_NO_SKIP is set: then it fails.
package testdb

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/testneed"
)

// PostgreSQL gives the URL of a new, empty database, which is dropped when the test is over.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	server := testneed.Env(t, "FLOWHOOK_POSTGRES")
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("FLOWHOOK_POSTGRES: %v", err)
	}
	u.Path = "/" + create(t, "pgx", server, " WITH (FORCE)") // connections that a test's process left behind are in the way
	return u.String()
}

// MariaDB gives the DSN of a new, empty database, which is dropped when the test is over.
func MariaDB(t testing.TB) string {
	t.Helper()
	server := testneed.Env(t, "FLOWHOOK_MARIADB")
	before, _, ok := strings.Cut(server, ")/")
	if !ok {
		t.Fatal("FLOWHOOK_MARIADB: want user:password@tcp(host:port)/")
	}
	return before + ")/" + create(t, "mysql", server, "")
}

func create(t testing.TB, driver, server, force string) (name string) {
	t.Helper()
	name = "flowhook_" + strings.ToLower(rand.Text())
	exec(t, driver, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { exec(t, driver, server, "DROP DATABASE "+name+force) })
	return name
}

func exec(t testing.TB, driver, server, statement string) {
	t.Helper()
	db, err := sql.Open(driver, server)
	if err == nil {
		_, err = db.Exec(statement)
		db.Close()
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
