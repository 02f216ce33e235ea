package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// SQLite is tested with modernc.org/sqlite, which includes the database.
const SQLite Dialect = "sqlite3"

// becomeWriter makes the transaction the writer, whatever kind of BEGIN the driver uses. It changes
// nothing.
const becomeWriter = "DELETE FROM flowhook_sessions WHERE false"

var sqlite = dialect{
	name:       SQLite,
	migrations: "migrations/sqlite3",

	syntax: relational.Syntax{
		Returning: true,
		DeleteSome: func(table, key string) string {
			return "DELETE FROM " + table + " WHERE " + key + " IN (SELECT " + key + " FROM " + table +
				" WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
		},
		CountAttempt: relational.CountOnConflict,
	},

	oneWriter: true, // and the drivers would parse a statement each time it runs
	begin: func(ctx context.Context, t *tx, _ string) error {
		_, err := t.Exec(ctx, becomeWriter)
		return err
	},
	lock: func(context.Context, *sql.Tx, string) error {
		return nil // the only writer holds the lock of every identity
	},

	lent: "SAVEPOINT flowhook",
	// BEGIN fails inside a transaction. Releasing the savepoint instead would release those that
	// the host has set since.
	intact: func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "BEGIN")
		if err != nil && strings.Contains(err.Error(), "within a transaction") {
			return nil
		}
		return errors.Join(relational.ErrOver, err)
	},
	sealed: "RELEASE flowhook",

	commit:         "COMMIT",
	strictRollback: true,

	// modernc.org/sqlite has a method Code. mattn/go-sqlite3 has two fields: a Code alone may be
	// anyone's, such as an SMTP server's.
	failure: func(err error) relational.Failure {
		var code int64
		extended, short := field(err, "ExtendedCode"), field(err, "Code")
		if e, ok := err.(interface{ Code() int }); ok {
			code = int64(e.Code())
		} else if extended.CanInt() && short.CanInt() {
			code = cmp.Or(extended.Int(), short.Int())
		}
		switch {
		case code == 0:
			return relational.Unknown
		case code&0xff == 5, code&0xff == 6: // SQLITE_BUSY, SQLITE_LOCKED
			return relational.Conflict
		case code == 1555, code == 2067: // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE
			return relational.Duplicate
		}
		return relational.Other
	},
}
