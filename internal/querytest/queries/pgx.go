package queries

import (
	"context"

	"github.com/flowhook/flowhook/store/pgxstore"
)

type pgxUsers struct{}

func (pgxUsers) Insert(ctx context.Context, id, email string) error {
	tx, ok := pgxstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	_, err := tx.Exec(ctx, "INSERT INTO users (id, email) VALUES ($1, $2)", id, email)
	return err
}
