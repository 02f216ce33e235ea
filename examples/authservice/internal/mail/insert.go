package mail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river"
)

// insertSQLite gives River the transaction as it is.
func insertSQLite(ctx context.Context, client *river.Client[*sql.Tx], j job) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	ctx = sqlstore.TxContext(ctx)
	// SQLite rolls a transaction back behind a statement whose context has ended, and what comes next commits by itself.
	// A transaction cannot begin in a transaction: so, if this succeeds, there was none any more.
	if _, err := tx.ExecContext(ctx, "BEGIN"); err == nil {
		_, err = tx.ExecContext(ctx, "ROLLBACK")
		return errors.Join(errNoTransaction, err)
	}
	if _, err := client.InsertTx(ctx, tx, j, nil); err != nil {
		return fmt.Errorf("mail: queueing: %w", err)
	}
	return nil
}

// insertPostgreSQL reaches through database/sql for the connection on which it has begun the transaction, and gives that
// to River.
func insertPostgreSQL(ctx context.Context, client *river.Client[pgx.Tx], j job) error {
	conn, ok := sqlstore.Conn(ctx)
	if !ok {
		return errNoTransaction
	}
	ctx = sqlstore.TxContext(ctx)
	err := conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the database's driver is not pgx, but has connections of type %T", driver)
		}
		// Where nothing is open on the connection, whoever has ended it, what comes next would commit by itself. While Raw
		// runs, database/sql does not touch the connection.
		if c.Conn().PgConn().TxStatus() != 'T' {
			return errNoTransaction
		}
		_, err := client.InsertTx(ctx, hostTx{c.Conn()}, j, nil)
		return err
	})
	if err != nil && !errors.Is(err, errNoTransaction) {
		return fmt.Errorf("mail: queueing: %w", err)
	}
	return err
}

type connection = pgx.Conn // embedded under its own name, hostTx could have no method Conn

// hostTx is the transaction that database/sql has begun on the connection, as pgx would have it. To end it is not
// River's.
type hostTx struct{ *connection }

var _ pgx.Tx = hostTx{}

var errHostTx = errors.New("the transaction is the store's")

func (hostTx) Begin(context.Context) (pgx.Tx, error) { return nil, errHostTx } // to insert one row needs no savepoint
func (hostTx) Commit(context.Context) error          { return errHostTx }
func (hostTx) Rollback(context.Context) error        { return errHostTx }
func (hostTx) LargeObjects() pgx.LargeObjects        { return pgx.LargeObjects{} }
func (t hostTx) Conn() *pgx.Conn                     { return t.connection }
