package sqltest

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/flowhook/flowhook/store/sqlstore"
)

var sqlite = database{
	name:    "SQLite",
	driver:  "sqlite",
	dialect: sqlstore.SQLite,
	source: func(t testing.TB) string {
		return "file:" + filepath.Join(t.TempDir(), "test.db") +
			"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	},
	oneWriter:     true,
	storePrepares: true,
	rollbackWorks: true,
	runs: operations{
		own: "Begin, DELETE FROM flowhook_sessions WHERE false, find, INSERT, Commit",
		lent: "Begin, DELETE FROM flowhook_sessions WHERE false, SAVEPOINT flowhook, find, BEGIN, INSERT, " +
			"RELEASE flowhook, Commit",
		failed:      "INSERT, Rollback",
		failedEarly: "BEGIN, INSERT, Rollback, BEGIN, ROLLBACK",
		failedLate:  "INSERT, Rollback, BEGIN, ROLLBACK",
	},
	ends:     "ROLLBACK",
	analyze:  "ANALYZE",
	scans:    scansOfSQLite,
	conflict: conflictOfSQLite,
}

// sqliteWith returns the source of a new database with the store's tables and with parameters.
func sqliteWith(t testing.TB, parameters string) string {
	source, _, _ := strings.Cut(sqlite.migrated(t), "?")
	return source + parameters
}

func scansOfSQLite(t *testing.T, db *sql.DB, s statement) (steps []string) {
	t.Helper()
	if strings.HasPrefix(s.text, "INSERT") || strings.HasSuffix(s.text, " WHERE false") {
		return nil // an INSERT has no plan, and the plan of the other is never run
	}
	for _, row := range explain(t, db, "EXPLAIN QUERY PLAN "+s.text, s.values...) {
		if step := row["detail"]; strings.HasPrefix(step, "SCAN") {
			steps = append(steps, step)
		}
	}
	return steps
}

// sqliteError is a conflict as the driver reports it.
type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprint("injected: code ", int(e)) }
func (e sqliteError) Code() int     { return int(e) }

func conflictOfSQLite(f driverFault, _ bool, run func(statement string)) error {
	const busy, busySnapshot = 5, 5 | 2<<8
	if f == conflicted {
		run("ROLLBACK")
		return sqliteError(busySnapshot)
	}
	return sqliteError(busy)
}
