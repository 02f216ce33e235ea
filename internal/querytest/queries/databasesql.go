package queries

import (
	"context"

	"github.com/flowhook/flowhook/store/sqlstore"
)

type sqlUsers struct{}

func (sqlUsers) Insert(ctx context.Context, id, email string) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	_, err := tx.ExecContext(sqlstore.TxContext(ctx), "INSERT INTO users (id, email) VALUES ($1, $2)", id, email)
	return err
}
