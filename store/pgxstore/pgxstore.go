// Package pgxstore is a store on PostgreSQL, for services that use pgx natively: with a
// [pgxpool.Pool], with the code that sqlc generates for pgx, or with a job queue on pgx.
//
//	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
//	...
//	store, err := pgxstore.New(pool)
//
// It has the tables, and so the migrations, of sqlstore.PostgreSQL. Both stores can work on one
// database at the same time. The context carries a transaction: the host's own statements take part
// in it through [Tx].
package pgxstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/internal/relational"
)

var (
	_ flowhook.Store           = (*Store)(nil)
	_ flowhook.SessionReplacer = (*Store)(nil)
	_ flowhook.TokenStore      = (*Store)(nil)
)

// A Store is a [flowhook.Store], a [flowhook.SessionStore], a [flowhook.SessionReplacer] and a
// [flowhook.TokenStore]. [New] makes it. It is safe for concurrent use, also by several processes on
// one database.
//
// An identity's ID and an address may have at most 1,024 bytes, and a session's ID 255. A token's
// data may have at most 4 KiB.
type Store struct {
	pool *pgxpool.Pool
	rows relational.Store
}

// Options are the options of a [Store]. The zero value has the defaults.
type Options = relational.Options

var (
	// ErrConflict means that two transactions conflicted: there was a deadlock, or a lock was not
	// available in time. Nothing was saved. Retry the whole Complete, Redeem or Transaction. It is
	// also sqlstore.ErrConflict.
	ErrConflict = relational.ErrConflict

	// ErrUnknownOutcome means that the database did not answer a commit within
	// Options.AnswerTimeout, or that the connection was lost meanwhile. The transaction may have
	// taken effect, or may do so later. Read the data before you try again. It never wraps the error
	// of a context. It is also sqlstore.ErrUnknownOutcome.
	ErrUnknownOutcome = relational.ErrUnknownOutcome
)

// IsConflict reports whether err is [ErrConflict] or an error of PostgreSQL with the same meaning,
// which a statement of the host's may return. It returns false for an error that panics when it is
// inspected.
func IsConflict(err error) bool { return relational.IsConflict(err, relational.PostgreSQLFailure) }

// New returns the store in the database of the pool, with the default options. It does not connect.
// The host closes the pool.
//
// Do not use this store and a sqlstore of the same database in one context: each has transactions of
// its own, which would wait for each other.
func New(pool *pgxpool.Pool) (*Store, error) { return NewWithOptions(pool, Options{}) }

// NewWithOptions is [New] with options.
func NewWithOptions(pool *pgxpool.Pool, o Options) (*Store, error) {
	if pool == nil {
		return nil, errors.New("pgxstore: the pool is nil")
	}
	o, err := o.Check("pgxstore")
	if err != nil {
		return nil, err
	}
	return &Store{pool, relational.Store{
		Name: "pgxstore", Database: &database{pool, o}, Pool: pool,
		Queries: relational.PostgreSQL.Queries(), Failure: relational.PostgreSQLFailure,
	}}, nil
}

// Transaction implements [flowhook.Store]. It always runs under READ COMMITTED, so it sees what
// other transactions have committed meanwhile. Transactions of one identity wait for each other by
// an advisory lock, which is taken in the same round trip as the beginning. The wait ends with
// [ErrConflict] after lock_timeout or statement_timeout, if the server has one. Without an identity,
// the transaction begins in the round trip of its first statement.
//
// The first error of one of the store's statements dooms the transaction, and so does the end of a
// call's context: it is rolled back at once, and Transaction returns an error whatever fn returned.
// A deadlock, or a lock that is not available in time, is [ErrConflict].
//
// If ctx ends, a running statement ends at once, and pgx closes the connection. If none is running
// and fn has not returned after 100 milliseconds, the store closes it. A commit or a rollback takes
// at most Options.AnswerTimeout. If the database does not answer by then, or the connection is
// lost, the connection is dropped, and a commit returns [ErrUnknownOutcome].
func (s *Store) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	return s.rows.Transaction(ctx, identityID, fn)
}

// CreateSession implements [flowhook.SessionStore].
func (s *Store) CreateSession(ctx context.Context, v flowhook.Session) error {
	return s.rows.CreateSession(ctx, v)
}

// ReplaceSession implements [flowhook.SessionReplacer]. It is one statement.
func (s *Store) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	return s.rows.ReplaceSession(ctx, old, v)
}

// FindSession implements [flowhook.SessionStore]. It returns times in UTC.
func (s *Store) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	return s.rows.FindSession(ctx, id)
}

// DeleteSession implements [flowhook.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, id string) error {
	return s.rows.DeleteSession(ctx, id)
}

// DeleteSessions implements [flowhook.SessionRevoker]. It is one statement. With exceptID, the
// statement runs in a transaction of the identity.
func (s *Store) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	return s.rows.DeleteSessions(ctx, identityID, exceptID)
}

// ListSessions returns at most limit sessions of the identity that have not expired at now, the
// newest first.
func (s *Store) ListSessions(
	ctx context.Context, identityID string, now time.Time, limit int,
) ([]flowhook.Session, error) {
	return s.rows.ListSessions(ctx, identityID, now, limit)
}

// CreateToken implements [flowhook.TokenStore].
func (s *Store) CreateToken(ctx context.Context, t flowhook.Token, notSince time.Time) (created bool, err error) {
	return s.rows.CreateToken(ctx, t, notSince)
}

// ConsumeToken implements [flowhook.TokenStore]. It returns times in UTC.
func (s *Store) ConsumeToken(
	ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
) (flowhook.Token, error) {
	return s.rows.ConsumeToken(ctx, p, hash, now)
}

// DeleteToken implements [flowhook.TokenStore].
func (s *Store) DeleteToken(ctx context.Context, hash []byte) error {
	return s.rows.DeleteToken(ctx, hash)
}

// CountAttempt implements [flowhook.TokenStore]. It commits a transaction of its own and repeats it
// after a conflict. DeleteExpired deletes the count when all tokens that it was about have expired.
func (s *Store) CountAttempt(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	return s.rows.CountAttempt(ctx, p, identityID, a, now)
}

// DeleteExpired deletes sessions, tokens and counts of attempts that expired before a time, at most
// limit of each, and returns how many it deleted. limit must be at least 1. To clean up, call it
// periodically until it returns less than limit.
//
// Choose a time in the past, by at least the longest interval of a hook that sends emails: an expired
// token still counts as an email that was sent.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	return s.rows.DeleteExpired(ctx, before, limit)
}

// Verify checks that two transactions of one identity wait for each other, on two connections of
// the pool. It takes about a quarter of a second and changes nothing. Call it when the service
// starts: a server that only looks like PostgreSQL may ignore the lock without an error, and then
// one user could keep sessions that were revoked. See Options.RowLocks. A pool that is limited to
// one connection is an error.
func (s *Store) Verify(ctx context.Context) error {
	return s.rows.Verify(ctx, int(s.pool.Config().MaxConns))
}
