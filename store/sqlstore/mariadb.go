package sqlstore

import (
	"context"
	"database/sql"
	"strconv"
)

// MariaDB is tested with version 10.11. It must be 10.6 or later, which has SKIP LOCKED.
const MariaDB Dialect = "mysql"

var mariadb = dialect{
	name:       MariaDB,
	migrations: "migrations/mysql",

	forUpdate:  " FOR UPDATE",
	skipLocked: " FOR UPDATE SKIP LOCKED",
	deleteSome: func(table, _ string) string {
		return "DELETE FROM " + table + " WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
	},
	// The assignments run in their order: attempts needs the old since.
	countAttempt: "INSERT INTO flowhook_attempts (recipient, since, expires_at, attempts) VALUES (?, ?, ?, 1) " +
		"ON DUPLICATE KEY UPDATE attempts = IF(VALUES(since) > since, 1, attempts + 1), " +
		"since = GREATEST(since, VALUES(since)), expires_at = GREATEST(expires_at, VALUES(expires_at)) " +
		"RETURNING attempts",

	// A transaction that has waited for its turn must see what those before it have committed.
	// Under REPEATABLE READ, the default, DeleteExpired would also keep others from inserting rows
	// between the expired ones.
	isolation: sql.LevelReadCommitted,
	lock: func(ctx context.Context, tx *sql.Tx, identityID string) error {
		// The number is part of the text, because the driver prepares a statement with arguments.
		stripe := strconv.FormatUint(lockKey(identityID)%1024, 10)
		query := "SELECT stripe FROM flowhook_locks WHERE stripe = " + stripe + " FOR UPDATE"
		return tx.QueryRowContext(ctx, query).Scan(&stripe)
	},

	// A deadlock rolls back the whole transaction. With autocommit on, the next statement would
	// commit by itself.
	lent:    []string{"SET autocommit = 0", "SAVEPOINT flowhook"},
	sealed:  "RELEASE SAVEPOINT flowhook",
	restore: "SET autocommit = 1",

	finishByStatement: true,

	// go-sql-driver has a field Number.
	failure: func(err error) failure {
		number := field(err, "Number")
		if !number.CanUint() || number.Uint() == 0 {
			return unknownFailure
		}
		switch number.Uint() {
		case 1213, 1205, 1020: // deadlock, lock wait timeout, record changed since it was read
			return conflictFailure
		case 1062: // duplicate entry
			return duplicateFailure
		}
		return otherFailure
	},
}
