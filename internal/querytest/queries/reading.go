package queries

import (
	"context"
	"database/sql"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// emailOf returns the email of a user, as the transaction of ctx sees it if there is one.
func emailOf(ctx context.Context, db *sql.DB, id string) (email string, err error) {
	const query = "SELECT email FROM users WHERE id = $1"
	row := db.QueryRowContext
	if tx, ok := sqlstore.Tx(ctx); ok {
		row = tx.QueryRowContext
	}
	err = row(sqlstore.TxContext(ctx), query, id).Scan(&email)
	return email, err
}
