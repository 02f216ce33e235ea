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

// insertPostgreSQL inserts a job in the transaction of ctx. It passes River the pgx connection
// beneath database/sql.
func insertPostgreSQL(ctx context.Context, client *river.Client[pgx.Tx], j job) error {
	conn, ok := sqlstore.Conn(ctx)
	if !ok {
		return errNoTransaction
	}
	ctx = sqlstore.TxContext(ctx)
	err := conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the database driver must be pgx, but its connections have type %T", driver)
		}
		// If the transaction has ended, the insert would commit on its own. While Raw runs,
		// database/sql does not use the connection.
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

type connection = pgx.Conn // an alias, because a field named Conn would conflict with the method Conn

// hostTx presents the transaction that database/sql began on the connection as a pgx.Tx. River must
// not end it.
type hostTx struct{ *connection }

var _ pgx.Tx = hostTx{}

var errHostTx = errors.New("the transaction belongs to the store")

func (hostTx) Begin(context.Context) (pgx.Tx, error) { return nil, errHostTx } // inserting a row needs no savepoint
func (hostTx) Commit(context.Context) error          { return errHostTx }
func (hostTx) Rollback(context.Context) error        { return errHostTx }
func (hostTx) LargeObjects() pgx.LargeObjects        { return pgx.LargeObjects{} }
func (t hostTx) Conn() *pgx.Conn                     { return t.connection }
