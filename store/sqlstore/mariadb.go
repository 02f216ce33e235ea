package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// MariaDB is tested with version 10.11. It must be 10.6 or later, which has SKIP LOCKED.
const MariaDB Dialect = "mysql"

var errAutocommit = errors.New("autocommit is off, so nothing outside of a transaction would be stored; " +
	"remove autocommit=0 from the DSN, or from the server's configuration")

// begun begins the transaction once more, because the driver's own has the wrong isolation level.
// Like commit, it is a compound statement, which takes one round trip.
//
// A transaction that has waited for its turn must see what those before it have committed. Under
// REPEATABLE READ, the default, DeleteExpired would also keep others from inserting rows between
// the expired ones.
//
// A deadlock rolls back the whole transaction. With autocommit on, the next statement would commit
// by itself. With autocommit off, it begins another transaction, which has no savepoint.
const begun = "ROLLBACK; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET autocommit = 0; " +
	"START TRANSACTION; SAVEPOINT flowhook; "

var mariadb = dialect{
	name:       MariaDB,
	migrations: "migrations/mysql",

	syntax: relational.Syntax{
		ForUpdate:  " FOR UPDATE",
		SkipLocked: " FOR UPDATE SKIP LOCKED",
		Dual:       " FROM DUAL",
		DeleteSome: func(table, _ string) string {
			return "DELETE FROM " + table + " WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
		},
		// The assignments run in their order: attempts needs the old since.
		CountAttempt: "INSERT INTO flowhook_attempts (recipient, since, expires_at, attempts) VALUES (?, ?, ?, 1) " +
			"ON DUPLICATE KEY UPDATE attempts = IF(VALUES(since) > since, 1, attempts + 1), " +
			"since = GREATEST(since, VALUES(since)), expires_at = GREATEST(expires_at, VALUES(expires_at)) " +
			"RETURNING attempts",
	},

	check: func(ctx context.Context, db *sql.DB) error {
		var autocommit bool
		err := db.QueryRowContext(ctx, "SELECT @@autocommit").Scan(&autocommit)
		if err == nil && !autocommit {
			err = errAutocommit
		}
		return err
	},

	begin: func(ctx context.Context, t *tx, identityID string) error {
		if identityID == "" {
			_, err := t.tx.ExecContext(ctx, "BEGIN NOT ATOMIC "+begun+"END")
			return err
		}
		statement := "BEGIN NOT ATOMIC " + begun + relational.RowLock(identityID) + "; END"
		return t.tx.QueryRowContext(ctx, statement).Scan(new(int))
	},
	lock: lockRow,

	commit:            "BEGIN NOT ATOMIC RELEASE SAVEPOINT flowhook; COMMIT; SET autocommit = 1; END",
	restore:           "SET autocommit = 1",
	finishByStatement: true,

	// go-sql-driver has a field Number.
	failure: func(err error) relational.Failure {
		number := field(err, "Number")
		if !number.CanUint() || number.Uint() == 0 {
			return relational.Unknown
		}
		switch number.Uint() {
		case 1213, 1205, 1020: // deadlock, lock wait timeout, record changed since it was read
			return relational.Conflict
		case 1062: // duplicate entry
			return relational.Duplicate
		case 1053, 1927: // server shutdown in progress, connection was killed
			return relational.Lost
		case 1305: // no such savepoint
			return relational.Over
		}
		return relational.Other
	},
}
