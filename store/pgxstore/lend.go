package pgxstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/flowhook/flowhook/store/internal/relational"
)

var (
	errHostCommits   = errors.New("pgxstore: the store commits this transaction; return nil instead")
	errHostRollsBack = errors.New("pgxstore: the host has rolled the transaction back")
)

// Tx returns the transaction that ctx carries, for the host's own statements. If a statement fails,
// return its error: PostgreSQL accepts no other one. If the context of a statement ends before the
// statement does, pgx closes the connection, and the transaction is over. Begin sets a savepoint.
// Commit is an error, because the store commits; Rollback makes the transaction fail. Unlike a
// *sql.Tx, it is not safe for concurrent use, not even with calls of the store.
func Tx(ctx context.Context) (pgx.Tx, bool) {
	t, fail, ok := relational.Lend[*tx](ctx)
	if !ok {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tx == nil {
		return lentTx{closedTx(), fail}, true // it could not begin
	}
	return lentTx{t.tx, fail}, true
}

// closedTx returns a transaction whose methods return pgx.ErrTxClosed.
func closedTx() pgx.Tx {
	var batch pgx.Batch
	batch.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(&batch, pgx.ErrTxClosed).Tx()
}

// A lentTx is a transaction in the hands of the host.
type lentTx struct {
	pgx.Tx
	fail func(err error)
}

func (t lentTx) Commit(context.Context) error { return errHostCommits }

func (t lentTx) Rollback(context.Context) error {
	t.fail(errHostRollsBack)
	return nil
}
