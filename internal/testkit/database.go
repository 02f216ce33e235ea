package testkit

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"
)

// PostgreSQL returns the URL of a new, empty database, which is dropped after the test. The caller
// registers the driver "pgx".
func PostgreSQL(t testing.TB) string {
	t.Helper()
	server := Env(t, "FLOWHOOK_POSTGRES")
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("FLOWHOOK_POSTGRES: %v", err)
	}
	u.Path = "/" + create(t, "pgx", server, " WITH (FORCE)") // a test may leave connections open
	return u.String()
}

// PgBouncer returns the URL of a database of PostgreSQL through PgBouncer.
func PgBouncer(t testing.TB, source string) string {
	t.Helper()
	pooler, err := url.Parse(Env(t, "FLOWHOOK_PGBOUNCER"))
	if err != nil {
		t.Fatalf("FLOWHOOK_PGBOUNCER: %v", err)
	}
	database, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	pooler.Path = database.Path
	return pooler.String()
}

// MariaDB returns the DSN of a new, empty database, which is dropped after the test. The caller
// registers the driver "mysql".
func MariaDB(t testing.TB) string {
	t.Helper()
	server := Env(t, "FLOWHOOK_MARIADB")
	before, _, ok := strings.Cut(server, ")/")
	if !ok {
		t.Fatal("FLOWHOOK_MARIADB: want user:password@tcp(host:port)/")
	}
	return before + ")/" + create(t, "mysql", server, "")
}

func create(t testing.TB, driver, server, force string) (name string) {
	t.Helper()
	name = "flowhook_" + strings.ToLower(rand.Text())
	execute(t, driver, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, driver, server, "DROP DATABASE "+name+force) })
	return name
}

func execute(t testing.TB, driver, server, statement string) {
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
