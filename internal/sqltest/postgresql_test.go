package sqltest

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

var postgreSQL = database{
	name:     "PostgreSQL",
	driver:   "pgx",
	dialect:  sqlstore.PostgreSQL,
	source:   testkit.PostgreSQL,
	numbered: true,
	runs: operations{
		own:         "Begin, lock, find, INSERT, Commit",
		lent:        "Begin, lock, find, INSERT, Commit",
		failed:      "INSERT, Rollback",
		failedEarly: "INSERT, Rollback, BEGIN, ROLLBACK",
		failedLate:  "INSERT, Rollback, BEGIN, ROLLBACK",
	},
	commit: "COMMIT",
	openTransactions: "SELECT count(*) FROM pg_stat_activity " +
		"WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
	analyze:        "ANALYZE",
	scans:          scansOfPostgreSQL,
	conflict:       conflictOfPostgreSQL,
	redirect:       redirectPostgreSQL,
	protocol:       proxy.PostgreSQL,
	others:         "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
	terminate:      func(id int) string { return "SELECT pg_terminate_backend(" + itoa(id) + ")" },
	connectTimeout: "&connect_timeout=1",
	isolation: func(level string) string {
		return "?default_transaction_isolation=" + strings.ReplaceAll(level, " ", "%20")
	},
}

// scansOfPostgreSQL also explains the generic plan, to which PostgreSQL may switch when a statement
// has run five times.
func scansOfPostgreSQL(t *testing.T, db *sql.DB, s statement) (steps []string) {
	t.Helper()
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	defer conn.Close()
	plan := explain(t, conn, "EXPLAIN "+s.text, s.values...)
	for _, text := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE kept AS " + s.text} {
		_, err := conn.ExecContext(context.Background(), text)
		require.NoError(t, err, text)
	}
	execute := "EXPLAIN EXECUTE kept"
	if len(s.values) > 0 {
		execute += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", len(s.values)), ", ") + ")"
	}
	plan = append(plan, explain(t, conn, execute)...)
	for _, text := range []string{"DEALLOCATE kept", "RESET plan_cache_mode"} {
		_, err := conn.ExecContext(context.Background(), text)
		require.NoError(t, err, text)
	}
	for _, row := range plan {
		if step := row["QUERY PLAN"]; strings.Contains(step, "Seq Scan") {
			steps = append(steps, step)
		}
	}
	return steps
}

// pgError is a conflict as the driver reports it.
type pgError string

func (e pgError) Error() string    { return "injected: SQLSTATE " + string(e) }
func (e pgError) SQLState() string { return string(e) }

func conflictOfPostgreSQL(f driverFault, commit bool, run func(statement string)) error {
	const serializationFailure, deadlockDetected, lockNotAvailable = "40001", "40P01", "55P03"
	if commit {
		run("ROLLBACK")
		return pgError(serializationFailure)
	}
	run("SELECT 1 / 0") // from now on, the transaction accepts nothing but a rollback
	if f == conflicted {
		return pgError(deadlockDetected)
	}
	return pgError(lockNotAvailable)
}

// redirectPostgreSQL disables TLS, because the proxy reads the messages.
func redirectPostgreSQL(t testing.TB, source, address string) (server, redirected string) {
	t.Helper()
	u, err := url.Parse(source)
	require.NoError(t, err)
	server, u.Host = u.Host, address
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return server, u.String()
}
