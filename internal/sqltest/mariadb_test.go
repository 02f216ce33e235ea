package sqltest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

var mariaDB = database{
	name:           "MariaDB",
	driver:         "mysql",
	dialect:        sqlstore.MariaDB,
	source:         testkit.MariaDB,
	driverPrepares: true,
	// The driver's Commit would have no time limit. So a statement commits, and Rollback only ends
	// the *sql.Tx.
	runs: operations{
		own:         "Begin, begin again and lock, find, INSERT, COMMIT, Rollback",
		lent:        "Begin, begin again and lock, find, INSERT, COMMIT, Rollback",
		failed:      "INSERT, ROLLBACK, Rollback, SET autocommit = 1",
		failedEarly: "INSERT, ROLLBACK, Rollback, ROLLBACK, SET autocommit = 1",
		failedLate:  "INSERT, ROLLBACK, Rollback, ROLLBACK, SET autocommit = 1",
	},
	commit: "BEGIN NOT ATOMIC RELEASE SAVEPOINT flowhook; COMMIT; SET autocommit = 1; END",
	ends:   "CREATE TABLE other (id integer)",
	// information_schema.innodb_trx also counts open transactions, but it is not updated until nobody
	// has read it for 100 ms.
	untouched:      "SELECT @@autocommit AND NOT @@in_transaction",
	analyze:        "ANALYZE TABLE flowhook_sessions, flowhook_verifications",
	scans:          scansOfMariaDB,
	conflict:       conflictOfMariaDB,
	redirect:       redirectMariaDB,
	protocol:       proxy.MariaDB,
	others:         "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
	terminate:      func(id int) string { return "KILL " + itoa(id) },
	connectTimeout: "?readTimeout=1s",
	closesAtOnce:   true,
	isolation: func(level string) string {
		return "?tx_isolation='" + strings.ReplaceAll(strings.ToUpper(level), " ", "-") + "'"
	},
}

func scansOfMariaDB(t *testing.T, db *sql.DB, s statement) (steps []string) {
	t.Helper()
	if compound, ok := strings.CutPrefix(s.text, "BEGIN NOT ATOMIC "); ok { // only its SELECT reads
		s.text = compound[strings.Index(compound, "SELECT "):strings.LastIndex(compound, ";")]
	}
	for _, row := range explain(t, db, "EXPLAIN "+s.text, s.values...) {
		if kind := row["type"]; row["select_type"] != "INSERT" && (kind == "ALL" || kind == "index") {
			steps = append(steps, fmt.Sprint(row))
		}
	}
	return steps
}

func conflictOfMariaDB(f driverFault, _ bool, run func(statement string)) error {
	const lockWaitTimeout, deadlock = 1205, 1213
	if f == conflicted {
		run("ROLLBACK") // from now on, every statement commits by itself unless the store prevents it
		return &mysql.MySQLError{Number: deadlock, Message: "injected"}
	}
	return &mysql.MySQLError{Number: lockWaitTimeout, Message: "injected"}
}

func redirectMariaDB(_ testing.TB, source, address string) (server, redirected string) {
	before, after, _ := strings.Cut(source, "tcp(")
	server, after, _ = strings.Cut(after, ")")
	return server, before + "tcp(" + address + ")" + after
}
