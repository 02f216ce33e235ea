package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A store is flowhook's store: a *pgxstore.Store on PostgreSQL, a *sqlstore.Store on SQLite.
type store interface {
	flowhook.Store
	flowhook.SessionStore
	ListSessions(ctx context.Context, identityID string, now time.Time, limit int) ([]flowhook.Session, error)
	DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error)
	Verify(ctx context.Context) error
}

// newStore returns flowhook's store in the database.
func (d *database) newStore(o sqlstore.Options) (store, error) {
	if d.pool != nil {
		return pgxstore.NewWithOptions(d.pool, o)
	}
	return sqlstore.NewWithOptions(d.DB, d.dialect, o)
}

// on returns the transaction that ctx carries, or else the database. All statements of the service
// use it, so that they are part of flowhook's transactions.
func (d *database) on(ctx context.Context) querier {
	if tx, ok := pgxstore.Tx(ctx); ok {
		return pgxQuerier{tx}
	}
	if tx, ok := sqlstore.Tx(ctx); ok {
		return sqlQuerier{tx}
	}
	if d.pool != nil {
		return pgxQuerier{d.pool}
	}
	return sqlQuerier{d.DB}
}

// exec runs a statement and returns the number of rows that it changed.
func (d *database) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return d.on(ctx).exec(ctx, query, args)
}

// rows calls each for every row that a query returns. scan copies the columns of the row.
func (d *database) rows(ctx context.Context, each func(scan scanFunc) error, query string, args ...any) error {
	return d.on(ctx).rows(ctx, each, query, args)
}

// row reads one row into dest. It returns sql.ErrNoRows if there is none.
func (d *database) row(ctx context.Context, dest []any, query string, args ...any) error {
	found := false
	err := d.rows(ctx, func(scan scanFunc) error {
		found = true
		return scan(dest...)
	}, query, args...)
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

type scanFunc func(dest ...any) error

// A querier is a database or a transaction.
type querier interface {
	exec(ctx context.Context, query string, args []any) (int64, error)
	rows(ctx context.Context, each func(scan scanFunc) error, query string, args []any) error
}

// A pgxQuerier is a *pgxpool.Pool or a pgx.Tx.
type pgxQuerier struct {
	on interface {
		Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	}
}

func (q pgxQuerier) exec(ctx context.Context, query string, args []any) (int64, error) {
	tag, err := q.on.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

func (q pgxQuerier) rows(ctx context.Context, each func(scan scanFunc) error, query string, args []any) error {
	rows, err := q.on.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// A sqlQuerier is a *sql.DB or a *sql.Tx. Statements in a transaction have a context that lasts as
// long as the transaction (see sqlstore.TxContext).
type sqlQuerier struct {
	on interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

func (q sqlQuerier) exec(ctx context.Context, query string, args []any) (int64, error) {
	result, err := q.on.ExecContext(sqlstore.TxContext(ctx), query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (q sqlQuerier) rows(ctx context.Context, each func(scan scanFunc) error, query string, args []any) error {
	rows, err := q.on.QueryContext(sqlstore.TxContext(ctx), query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
