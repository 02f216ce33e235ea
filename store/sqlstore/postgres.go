package sqlstore

import (
	"context"
	"database/sql"
)

// PostgreSQL is tested with version 15.
const PostgreSQL Dialect = "postgres"

var postgres = dialect{
	name:       PostgreSQL,
	migrations: "migrations/postgres",

	numbered:   true,
	forUpdate:  " FOR UPDATE",
	skipLocked: " FOR UPDATE SKIP LOCKED",
	deleteSome: func(table, key string) string {
		// PostgreSQL expects an array to have few keys, whatever the limit, and looks up each of
		// them. With IN, the generic plan reads the whole table.
		return "DELETE FROM " + table + " WHERE " + key + " = ANY (ARRAY(SELECT " + key + " FROM " + table +
			" WHERE expires_at <= ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))"
	},
	countAttempt: countOnConflict,

	// A transaction that has waited for its turn must see what those before it have committed.
	isolation: sql.LevelReadCommitted,
	lock: func(ctx context.Context, tx *sql.Tx, identityID string) error {
		_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey(identityID)))
		return err
	},

	// pgx and lib/pq have a method SQLState.
	failure: func(err error) failure {
		e, ok := err.(interface{ SQLState() string })
		if !ok || e.SQLState() == "" {
			return unknownFailure
		}
		switch e.SQLState() {
		case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
			return conflictFailure
		case "23505": // unique_violation
			return duplicateFailure
		}
		return otherFailure
	},
}
