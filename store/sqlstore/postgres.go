package sqlstore

import (
	"context"
	"database/sql"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// PostgreSQL is tested with version 15.
const PostgreSQL Dialect = "postgres"

var postgres = dialect{
	name:       PostgreSQL,
	migrations: "migrations/postgres",
	syntax:     relational.PostgreSQL,

	// A transaction that has waited for its turn must see what those before it have committed.
	isolation: sql.LevelReadCommitted,
	begin: func(ctx context.Context, t *tx, identityID string) error {
		if identityID == "" {
			return nil
		}
		return t.Lock(ctx, identityID)
	},
	lock: func(ctx context.Context, tx *sql.Tx, identityID string) error {
		_, err := tx.ExecContext(ctx, relational.AdvisoryLock, int64(relational.LockKey(identityID)))
		return err
	},
	rowLock: lockRow,

	commit: "COMMIT",

	failure: relational.PostgreSQLFailure,
}
