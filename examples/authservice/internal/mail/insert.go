package mail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// insertSQLite inserts a job in the transaction of ctx.
func insertSQLite(ctx context.Context, client *river.Client[*sql.Tx], j job) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	ctx = sqlstore.TxContext(ctx)
	// SQLite rolls the transaction back when the context of a statement ends, and later statements
	// would commit on their own. Transactions do not nest, so if BEGIN succeeds, there was no
	// transaction anymore.
	if _, err := tx.ExecContext(ctx, "BEGIN"); err == nil {
		_, err = tx.ExecContext(ctx, "ROLLBACK")
		return errors.Join(errNoTransaction, err)
	}
	if _, err := client.InsertTx(ctx, tx, j, nil); err != nil {
		return fmt.Errorf("mail: queueing: %w", err)
	}
	return nil
}

// insertPostgreSQL inserts a job in the transaction of ctx.
func insertPostgreSQL(ctx context.Context, client *river.Client[pgx.Tx], j job) error {
	tx, ok := pgxstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	if _, err := client.InsertTx(ctx, tx, j, nil); err != nil {
		return fmt.Errorf("mail: queueing: %w", err)
	}
	return nil
}
