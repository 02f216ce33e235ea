package queries

import (
	"context"
	"errors"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// attempt runs fn. If fn fails, the transaction continues as if fn had not run.
func attempt(ctx context.Context, fn func(ctx context.Context) error) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	if _, err := tx.ExecContext(sqlstore.TxContext(ctx), "SAVEPOINT attempt"); err != nil {
		return err
	}
	err, end := fn(ctx), "RELEASE SAVEPOINT attempt"
	if err != nil {
		end = "ROLLBACK TO SAVEPOINT attempt"
	}
	_, ended := tx.ExecContext(sqlstore.TxContext(ctx), end)
	return errors.Join(err, ended)
}
