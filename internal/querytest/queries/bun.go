package queries

import (
	"context"
	"database/sql"

	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

func openBun(db *sql.DB) *bun.DB { return bun.NewDB(db, pgdialect.New()) }

type bunUser struct {
	bun.BaseModel `bun:"table:users"`

	ID    string `bun:",pk"`
	Email string
}

type bunUsers struct{ db *bun.DB }

func (u bunUsers) Insert(ctx context.Context, id, email string) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	_, err := u.db.NewInsert().Conn(tx).Model(&bunUser{ID: id, Email: email}).Exec(sqlstore.TxContext(ctx))
	return err
}
