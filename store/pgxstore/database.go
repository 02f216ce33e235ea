package pgxstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// A database is the pool that a store runs on.
type database struct {
	pool    *pgxpool.Pool
	options Options
}

// Begin implements [relational.Database]. Without an identity, the first statement begins the
// transaction. The connection is acquired at once, so that a closed pool or a server that is down
// fails before fn runs.
func (d *database) Begin(ctx context.Context, identityID string) (_ relational.Tx, err error) {
	t := &tx{database: d, ctx: ctx}
	if identityID == "" {
		t.conn, err = d.pool.Acquire(ctx)
	} else {
		err = t.beginOnLiveConn(ctx, identityID)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// lost reports whether an error may be that of a connection that died.
func lost(err error) bool {
	return relational.FailureOf(err, relational.PostgreSQLFailure).MayBeDead()
}

// Exec implements [relational.Querier].
func (d *database) Exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	err = relational.UntilAlive(ctx, d.idle(), notRun, func() error {
		tag, err := d.pool.Exec(ctx, query, args...)
		rows = tag.RowsAffected()
		return err
	})
	return rows, err
}

func (d *database) idle() int { return int(d.pool.Stat().IdleConns()) }

// notRun reports whether a statement that failed has certainly not been run.
func notRun(err error) bool {
	return pgconn.SafeToRetry(err) ||
		relational.FailureOf(err, relational.PostgreSQLFailure) == relational.Lost
}

// Query implements [relational.Querier]. Statements that return rows and are in no transaction only
// read, so that they can be repeated.
func (d *database) Query(
	ctx context.Context, query string, args []any, each func(scan func(into ...any) error) error,
) error {
	seen := false
	again := func(err error) bool { return !seen && lost(err) }
	return relational.UntilAlive(ctx, d.idle(), again, func() error {
		rows, _ := d.pool.Query(ctx, query, args...) // the rows have its error
		return read(rows, func(scan func(into ...any) error) error {
			seen = true
			return each(scan)
		})
	})
}

// read calls each for every row, and closes them.
func read(rows pgx.Rows, each func(scan func(into ...any) error) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
