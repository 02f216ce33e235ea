// Package relational is what the stores on SQL databases share: their statements, the rules for
// transactions, and the meaning of a database's errors. A store adds how it reaches its database.
package relational

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
)

// Options are the options of the stores. The zero value has the defaults.
type Options struct {
	// AnswerTimeout limits the wait for the answer to a commit or a rollback, and for what makes the
	// connection usable again. These waits do not end with the context of the call, and they have
	// this limit even if the context lasts longer. Zero means 10 seconds.
	AnswerTimeout time.Duration

	// RowLocks makes transactions of one identity wait for each other by a row of flowhook_locks
	// instead of an advisory lock. It is for servers that speak PostgreSQL's protocol and have no
	// advisory locks, such as CockroachDB. All processes on one database must agree. Two identities
	// may share one of the 1,024 rows.
	RowLocks bool
}

const answerTimeout = 10 * time.Second

// Check returns the options with their defaults, or an error.
func (o Options) Check(name string) (Options, error) {
	switch {
	case o.AnswerTimeout < 0:
		return o, fmt.Errorf("%s: AnswerTimeout is %v; use a positive duration, or 0 for %v", name, o.AnswerTimeout, answerTimeout)
	case o.AnswerTimeout == 0:
		o.AnswerTimeout = answerTimeout
	}
	return o, nil
}

// A Querier runs statements. args are strings, byte slices, integers and booleans.
type Querier interface {
	// Exec runs a statement and returns the number of rows that it changed.
	Exec(ctx context.Context, query string, args ...any) (rows int64, err error)

	// Query calls each for every row that a statement returns. scan copies the columns of the row.
	Query(ctx context.Context, query string, args []any, each func(scan func(into ...any) error) error) error
}

// A Database is a pool of connections. Its own Querier runs each statement by itself.
type Database interface {
	Querier

	// Begin begins a transaction at READ COMMITTED. The transaction holds the lock of the identity,
	// unless identityID is empty. Statements of the transaction run on ctx.
	Begin(ctx context.Context, identityID string) (Tx, error)
}

// A Tx is an open transaction of a Database, with the connection that it runs on.
type Tx interface {
	Querier

	// Lock waits until no other transaction holds the lock of the identity, and holds it until the
	// transaction ends.
	Lock(ctx context.Context, identityID string) error

	// Lend is called once, when the host asks for the transaction. From then on, a statement may
	// fail unnoticed by the store.
	Lend() error

	// Intact returns an error if the database has ended a transaction that is lent.
	Intact() error

	// Commit commits. Its wait for the answer does not end with the context of Begin.
	Commit() error

	// Rollback rolls back, at once. It may be called after Commit has failed, and again.
	Rollback()

	// Abort is Rollback when the context of Begin has ended. Another goroutine may be running a
	// statement of the transaction.
	Abort()

	// Close rolls back unless the transaction is committed, and returns the connection to the pool,
	// or drops it.
	Close()
}

// A Store is a store on a Database. All of its methods may be called concurrently.
type Store struct {
	Name     string   // of the package, for errors
	Database Database // Begin and single statements
	Pool     any      // two stores with the same pool share their transactions
	Queries  *Queries
	Failure  func(err error) Failure // the meaning of one error, without those that it wraps
}

// DeleteExpired deletes what has expired before a time, at most limit rows of each table.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	if limit < 1 {
		return 0, fmt.Errorf("%s: DeleteExpired: the limit is %d; it has to be at least 1", s.Name, limit)
	}
	for _, query := range []string{s.Queries.expiredSessions, s.Queries.expiredTokens, s.Queries.expiredAttempts} {
		// Outside a transaction, the statement would not run at READ COMMITTED.
		var n int64
		err := s.within(ctx, func(ctx context.Context) (err error) {
			n, err = s.exec(ctx, "delete what has expired", query, before.UnixMicro(), limit)
			return err
		})
		if err != nil {
			return deleted, err
		}
		deleted += int(n)
	}
	return deleted, nil
}

// exec runs a statement that writes, in the transaction that ctx carries or by itself, and returns
// the number of rows.
func (s *Store) exec(ctx context.Context, what, query string, args ...any) (rows int64, err error) {
	err = s.run(ctx, what, true, func(ctx context.Context, q Querier) error {
		rows, err = q.Exec(ctx, query, args...)
		return err
	})
	return rows, err
}

// row reads one row. found is false if there is none. writes is true if the statement also writes.
func (s *Store) row(
	ctx context.Context, what string, writes bool, query string, args []any, into ...any,
) (found bool, err error) {
	err = s.run(ctx, what, writes, func(ctx context.Context, q Querier) error {
		return q.Query(ctx, query, args, func(scan func(into ...any) error) error {
			found = true
			return scan(into...)
		})
	})
	return found && err == nil, err
}

// run runs statements in the transaction that ctx carries, or by themselves.
func (s *Store) run(
	ctx context.Context, what string, writes bool, statements func(ctx context.Context, q Querier) error,
) error {
	if t := s.transactionOf(ctx); t != nil {
		return t.run(ctx, what, writes, statements)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := statements(ctx, s.Database); err != nil {
		return s.explainStatement(ctx, what, err)
	}
	return nil
}

// within runs several statements in the transaction that ctx carries, or else in one of their own.
func (s *Store) within(ctx context.Context, fn func(ctx context.Context) error) error {
	if s.transactionOf(ctx) != nil {
		return fn(ctx)
	}
	return s.Transaction(ctx, "", fn)
}

// errorf returns an error that starts with the store's name.
func (s *Store) errorf(format string, args ...any) error {
	return fmt.Errorf(s.Name+": "+format, args...)
}

// errStored replaces the database's own text, which may show the key.
var errStored = errors.New("it is stored already")

// explainStatement is explain for a statement of the store.
func (s *Store) explainStatement(ctx context.Context, what string, err error) error {
	if FailureOf(err, s.Failure) == Duplicate {
		err = errStored
	}
	return s.explain(ctx, what, err)
}

// explain returns an error that says what was tried and what kind of failure it is. ctx is the one
// that ends the statement. ErrUnknownOutcome is never joined with the error of ctx, which would mean
// that nothing was saved.
func (s *Store) explain(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(err, flowhook.ErrNotFound):
		return err
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()) && !errors.Is(err, ErrUnknownOutcome):
		return s.errorf("%s: %w (%w)", what, ctx.Err(), err)
	case !errors.Is(err, ErrConflict) && FailureOf(err, s.Failure) == Conflict:
		return s.errorf("%s: %w: %w", what, ErrConflict, err)
	}
	return s.errorf("%s: %w", what, err)
}

// waited returns the error of a wait for the lock of an identity. If the server has ended the wait,
// that is a conflict.
func (s *Store) waited(ctx context.Context, err error) error {
	if ctx.Err() == nil && FailureOf(err, s.Failure) == TimedOut {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

const (
	sessionIDLength  = 255
	identityIDLength = 1024
	addressLength    = 1024
	viaLength        = 255
	hashLength       = 255
	purposeLength    = 255
	dataLength       = 4 << 10
)

// storable reports whether a column can store s unchanged.
func storable(s string, length int) bool {
	return len(s) <= length && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

func micro(t int64) time.Time { return time.UnixMicro(t).UTC() }
