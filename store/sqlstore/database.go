package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// A database is the pool that a store runs on.
type database struct {
	db      *sql.DB
	dialect *dialect
	options Options
	queries *relational.Queries
	usable  atomic.Bool          // the dialect has accepted a connection
	turn    chan struct{}        // full while a transaction is open; nil for a dialect with several writers
	parsed  map[string]*sql.Stmt // statements by their text; guarded by turn
}

// Begin implements [relational.Database]. It tries idle connections one by one and drops those that
// died with the database.
func (d *database) Begin(ctx context.Context, identityID string) (relational.Tx, error) {
	if err := d.acquire(ctx); err != nil {
		return nil, err
	}
	t, err := d.begin(ctx, identityID)
	if err != nil {
		d.release()
		return nil, err
	}
	return t, nil
}

func (d *database) begin(ctx context.Context, identityID string) (t *tx, err error) {
	if err := d.check(ctx); err != nil {
		return nil, err
	}
	if err := d.parse(ctx); err != nil {
		return nil, err
	}
	err = relational.UntilAlive(ctx, d.db.Stats().Idle, lost, func() error {
		return d.untilFree(ctx, func() (err error) {
			t, err = d.open(ctx, identityID)
			return err
		})
	})
	return t, err
}

// lost reports whether an error may be that of a connection that died. Nothing has been done on it
// yet, so that another one can be tried.
func lost(err error) bool {
	return relational.FailureOf(err, failure).MayBeDead()
}

// check returns an error if the dialect cannot work on the connections of the pool.
func (d *database) check(ctx context.Context) error {
	if d.dialect.check == nil || d.usable.Load() {
		return nil
	}
	if err := d.dialect.check(ctx, d.db); err != nil {
		return err
	}
	d.usable.Store(true)
	return nil
}

// parse prepares the statements of a sign-in, once, if the dialect has one writer. The caller has
// the turn, and no connection yet: the pool may have only one.
func (d *database) parse(ctx context.Context) error {
	if !d.dialect.oneWriter || d.parsed != nil {
		return nil
	}
	parsed := map[string]*sql.Stmt{}
	q := d.queries
	for _, query := range []string{becomeWriter, q.CreateSession, q.DeleteSession, q.DeleteSessions} {
		statement, err := d.db.PrepareContext(ctx, query)
		if err != nil {
			for _, statement := range parsed {
				statement.Close()
			}
			return err
		}
		parsed[query] = statement
	}
	d.parsed = parsed
	return nil
}

// Exec implements [relational.Querier].
func (d *database) Exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	if err := d.acquire(ctx); err != nil {
		return 0, err
	}
	defer d.release()
	if err := d.check(ctx); err != nil {
		return 0, err
	}
	err = relational.UntilAlive(ctx, d.db.Stats().Idle, notRun, func() error {
		return d.untilFree(ctx, func() (err error) {
			rows, err = affected(d.db.ExecContext(ctx, query, args...))
			return err
		})
	})
	return rows, err
}

// notRun reports whether a statement that failed has certainly not been run. MariaDB's errors for a
// lost connection do not tell.
func notRun(err error) bool {
	return relational.FailureOf(err, relational.PostgreSQLFailure) == relational.Lost
}

func affected(result sql.Result, err error) (rows int64, _ error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Query implements [relational.Querier]. Statements that return rows and are in no transaction only
// read, so that they can be repeated on another connection.
func (d *database) Query(
	ctx context.Context, query string, args []any, each func(scan func(into ...any) error) error,
) error {
	if err := d.check(ctx); err != nil {
		return err
	}
	seen := false
	again := func(err error) bool { return !seen && lost(err) }
	return relational.UntilAlive(ctx, d.db.Stats().Idle, again, func() error {
		rows, err := d.db.QueryContext(ctx, query, args...)
		return read(rows, err, func(scan func(into ...any) error) error {
			seen = true
			return each(scan)
		})
	})
}

// read calls each for every row, and closes them.
func read(rows *sql.Rows, err error, each func(scan func(into ...any) error) error) error {
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

// acquire waits for the turn to write if the dialect has one writer. Turns are in the order of the
// calls, which the database itself would not keep.
func (d *database) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil || d.turn == nil {
		return err
	}
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *database) release() {
	if d.turn != nil {
		<-d.turn
	}
}

// untilFree calls begin until no other process is the writer, or ctx ends.
func (d *database) untilFree(ctx context.Context, begin func() error) error {
	for {
		err := begin()
		if !d.dialect.oneWriter || !IsConflict(err) {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sent reports whether a failed commit may have reached the database.
func sent(err error) bool {
	return !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, sql.ErrTxDone)
}
