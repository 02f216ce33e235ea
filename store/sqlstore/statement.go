package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/flowhook/flowhook"
)

// A querier is a transaction or the pool.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// exec runs a statement that writes, in the transaction that ctx carries or by itself, and returns
// the number of rows.
func (s *Store) exec(ctx context.Context, what, query string, args ...any) (rows int64, err error) {
	count := func(result sql.Result, err error) error {
		if err == nil {
			rows, err = result.RowsAffected()
		}
		return err
	}
	if t := s.transactionOf(ctx); t != nil {
		err = t.run(ctx, what, true, func(ctx context.Context) error { return count(t.exec(ctx, query, args...)) })
		return rows, err
	}
	if err := s.acquire(ctx); err != nil {
		return 0, err
	}
	defer s.release()
	if err := s.untilFree(ctx, func() error { return count(s.db.ExecContext(ctx, query, args...)) }); err != nil {
		return 0, s.explain(ctx, what, err)
	}
	return rows, nil
}

// exec runs a statement in the transaction.
func (t *transaction) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if parsed := t.store.parsed[query]; parsed != nil {
		return t.tx.StmtContext(ctx, parsed).ExecContext(ctx, args...)
	}
	return t.tx.ExecContext(ctx, query, args...)
}

// parse prepares the statements of a sign-in, once, if the dialect has one writer. The caller has
// the turn, and no connection yet: the pool may have only one.
func (s *Store) parse(ctx context.Context) error {
	if !s.dialect.oneWriter || s.parsed != nil {
		return nil
	}
	parsed := map[string]*sql.Stmt{}
	for _, query := range []string{s.dialect.begun, s.queries.createSession, s.queries.deleteSession, s.queries.deleteSessions} {
		statement, err := s.db.PrepareContext(ctx, query)
		if err != nil {
			for _, statement := range parsed {
				statement.Close()
			}
			return err
		}
		parsed[query] = statement
	}
	s.parsed = parsed
	return nil
}

// query runs a statement that reads. read handles errors that it expects, such as sql.ErrNoRows.
func (s *Store) query(ctx context.Context, what string, read func(ctx context.Context, q querier) error) error {
	if t := s.transactionOf(ctx); t != nil {
		return t.run(ctx, what, false, func(ctx context.Context) error { return read(ctx, t.tx) })
	}
	if err := read(ctx, s.db); err != nil {
		return s.explain(ctx, what, err)
	}
	return nil
}

// row reads one row. found is false if there is none.
func (s *Store) row(ctx context.Context, what, query string, args []any, into ...any) (found bool, err error) {
	err = s.query(ctx, what, func(ctx context.Context, q querier) error {
		err := q.QueryRowContext(ctx, query, args...).Scan(into...)
		found = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return found, err
}

// acquire waits for the turn to write if the dialect has one writer. Turns are in the order of the
// calls, which the database itself would not keep.
func (s *Store) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil || s.turn == nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) release() {
	if s.turn != nil {
		<-s.turn
	}
}

// untilFree calls begin until no other process is the writer, or ctx ends.
func (s *Store) untilFree(ctx context.Context, begin func() error) error {
	for {
		err := begin()
		if !s.dialect.oneWriter || !IsConflict(err) {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errStored replaces the database's own text, which may show the key.
var errStored = errors.New("it is stored already")

// explain returns an error that says what was tried and what kind of failure it is. ctx is the one
// that ends the statement.
func (s *Store) explain(ctx context.Context, what string, err error) error {
	if failureOf(err) == duplicateFailure {
		err = errStored
	}
	switch {
	case errors.Is(err, flowhook.ErrNotFound):
		return err
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("sqlstore: %s: %w (%w)", what, ctx.Err(), err)
	case IsConflict(err):
		return fmt.Errorf("sqlstore: %s: %w: %w", what, ErrConflict, err)
	}
	return fmt.Errorf("sqlstore: %s: %w", what, err)
}
