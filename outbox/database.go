package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// A queue is River's queue in the database of the options.
type queue struct {
	client
	insertTx func(ctx context.Context, args river.JobArgs) error // in the transaction of ctx
}

// A client is a *river.Client, whose type depends on that of the transaction.
type client interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	JobGet(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
	JobRetry(ctx context.Context, id int64) (*rivertype.JobRow, error)
}

// checkDatabase reports what is wrong with the options that name the database.
func (o Options) checkDatabase() error {
	switch {
	case (o.Pool == nil) == (o.DB == nil):
		return errors.New("outbox: set either Options.Pool, with a pgxstore, or Options.DB and Dialect, with a sqlstore")
	case o.Pool != nil && o.Dialect != "":
		return errors.New("outbox: Options.Dialect is that of DB; leave it out with Pool")
	case o.DB != nil && o.Dialect != sqlstore.PostgreSQL && o.Dialect != sqlstore.SQLite:
		return fmt.Errorf("outbox: Options.Dialect is %q; River needs sqlstore.PostgreSQL or sqlstore.SQLite", o.Dialect)
	}
	return nil
}

// sqlDriver returns River's driver for DB.
func (o Options) sqlDriver() riverdriver.Driver[*sql.Tx] {
	if o.Dialect == sqlstore.SQLite {
		return riversqlite.New(o.DB)
	}
	return riverdatabasesql.New(o.DB)
}

func newQueue(o Options, config *river.Config) (queue, error) {
	if err := o.checkDatabase(); err != nil {
		return queue{}, err
	}
	if o.Pool != nil {
		client, err := river.NewClient(riverpgxv5.New(o.Pool), config)
		if err != nil {
			return queue{}, fmt.Errorf("outbox: %w", err)
		}
		return queue{client, func(ctx context.Context, args river.JobArgs) error {
			return insertPgx(ctx, client, args)
		}}, nil
	}
	client, err := river.NewClient(o.sqlDriver(), config)
	if err != nil {
		return queue{}, fmt.Errorf("outbox: %w", err)
	}
	return queue{client, func(ctx context.Context, args river.JobArgs) error {
		return insertSQL(ctx, client, args, o.Dialect)
	}}, nil
}

var (
	errNoTransaction = errors.New("the context carries no transaction of the store")
	errRolledBack    = errors.New("the transaction was rolled back")
)

// unmigrated adds to an error what to do if it is that River's tables are missing. The drivers have no
// type in common for that, and SQLite has no code for it.
func unmigrated(err error) error {
	text := err.Error()
	if strings.Contains(text, "no such table: river_") || strings.Contains(text, "42P01") { // SQLite, PostgreSQL
		return fmt.Errorf("%w; call outbox.Migrate first", err)
	}
	return err
}

// inTransaction reports whether ctx carries a transaction of any store of flowhook's on SQL.
func inTransaction(ctx context.Context) bool {
	_, pgx := pgxstore.Tx(ctx)
	_, sql := sqlstore.Tx(ctx)
	return pgx || sql
}

// insertPgx inserts a job in the transaction of a pgxstore.
func insertPgx(ctx context.Context, client *river.Client[pgx.Tx], args river.JobArgs) error {
	tx, ok := pgxstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	_, err := client.InsertTx(ctx, tx, args, nil)
	return err
}

// insertSQL inserts a job in the transaction of a sqlstore.
func insertSQL(ctx context.Context, client *river.Client[*sql.Tx], args river.JobArgs, d sqlstore.Dialect) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errNoTransaction
	}
	ctx = sqlstore.TxContext(ctx)
	if d == sqlstore.SQLite {
		// SQLite rolls the transaction back when the context of a statement ends, and later
		// statements would commit on their own. Transactions do not nest, so if BEGIN succeeds,
		// there was no transaction anymore.
		if _, err := tx.ExecContext(ctx, "BEGIN"); err == nil {
			_, err = tx.ExecContext(ctx, "ROLLBACK")
			return errors.Join(errRolledBack, err)
		}
	}
	_, err := client.InsertTx(ctx, tx, args, nil)
	return err
}

// Migrate creates or migrates River's tables. Only one process may call it at a time, so the caller
// must hold a lock. It uses Pool, DB, Dialect and Logger.
func Migrate(ctx context.Context, o Options) error {
	if err := o.checkDatabase(); err != nil {
		return err
	}
	if o.Pool != nil {
		return migrate(ctx, riverpgxv5.New(o.Pool), o.riverLogger())
	}
	return migrate(ctx, o.sqlDriver(), o.riverLogger())
}

func migrate[Tx any](ctx context.Context, driver riverdriver.Driver[Tx], logger *slog.Logger) error {
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: logger})
	if err == nil {
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return fmt.Errorf("outbox: migrating the queue: %w", err)
	}
	return nil
}
