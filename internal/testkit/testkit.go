// Package testkit has what the tests of several packages and modules share: databases, a browser,
// test vectors, repetition counts, and the one place where a test may be skipped.
//
// These environment variables configure it:
//
//   - FLOWHOOK_POSTGRES is a URL, as in postgres://user:password@host:port/database, and
//     FLOWHOOK_MARIADB a DSN of github.com/go-sql-driver/mysql, as in
//     user:password@tcp(host:port)/. Both users must be allowed to create databases.
//   - FLOWHOOK_PGBOUNCER is a URL of PgBouncer in transaction mode. It passes connections to any
//     database on to the server of FLOWHOOK_POSTGRES.
//   - FLOWHOOK_NO_SKIP makes a test that does not find what it needs fail. Otherwise it is skipped.
//   - FLOWHOOK_REPEAT is how often tests repeat what they repeat, as a percentage of the full
//     count. The default is 3.
package testkit

import (
	"os"
	"strconv"
	"testing"
)

// Times returns how often a test repeats something: full, scaled by FLOWHOOK_REPEAT, and at least
// once.
func Times(t testing.TB, full int) int {
	t.Helper()
	return max(1, full*Percent(t)/100)
}

// Percent returns FLOWHOOK_REPEAT, from 1 to 100.
func Percent(t testing.TB) int {
	t.Helper()
	value := os.Getenv("FLOWHOOK_REPEAT")
	if value == "" {
		return 3
	}
	percent, err := strconv.Atoi(value)
	if err != nil || percent < 1 || percent > 100 {
		t.Fatalf("FLOWHOOK_REPEAT is %q; want a percentage from 1 to 100", value)
	}
	return percent
}
