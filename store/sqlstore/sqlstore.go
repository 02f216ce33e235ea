// Package sqlstore is a store on PostgreSQL, MariaDB or SQLite. It uses database/sql, with a driver
// that the host chooses. For a service that uses pgx natively, see the package pgxstore.
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	...
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//
// The SQL files of [Dialect.Migrations] create its tables. The context carries a transaction: the
// host's own statements take part in it through [Tx], with a context from [TxContext].
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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
	database *database
	rows     relational.Store
}

// Options are the options of a [Store]. The zero value has the defaults.
type Options = relational.Options

// New returns the store in db, with the default options. It does not connect. The host closes db.
func New(db *sql.DB, d Dialect) (*Store, error) { return NewWithOptions(db, d, Options{}) }

// NewWithOptions is [New] with options.
func NewWithOptions(db *sql.DB, d Dialect, o Options) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: the database is nil")
	}
	of, err := d.find()
	if err != nil {
		return nil, err
	}
	if o, err = o.Check("sqlstore"); err != nil {
		return nil, err
	}
	if o.RowLocks && of.rowLock == nil {
		return nil, fmt.Errorf("sqlstore: RowLocks is for the dialect %q; leave it out for %q", PostgreSQL, d)
	}
	s := &Store{database: &database{db: db, dialect: of, options: o}}
	if of.oneWriter {
		s.database.turn = make(chan struct{}, 1)
	}
	s.rows = relational.Store{
		Name: "sqlstore", Database: s.database, Pool: db, Queries: of.syntax.Queries(), Failure: failure,
	}
	s.database.queries = s.rows.Queries
	return s, nil
}

// Transaction implements [flowhook.Store]. It always runs under READ COMMITTED, so it sees what
// other transactions have committed meanwhile. Transactions of one identity wait for each other: on
// PostgreSQL by an advisory lock, on MariaDB by a row of flowhook_locks, and on SQLite because only
// one transaction is open at a time, in the order of the calls. On MariaDB, the wait ends with
// [ErrConflict] after innodb_lock_wait_timeout, on PostgreSQL after lock_timeout or
// statement_timeout if the server has one.
//
// The first error of one of the store's statements dooms the transaction, and so does the end of a
// call's context: it is rolled back at once, and Transaction returns an error whatever fn returned.
// A deadlock, or a lock that is not available in time, is [ErrConflict].
//
// A commit or rollback takes at most Options.AnswerTimeout, also after ctx has ended. If the
// database does not answer by then, or the connection is lost, the connection is dropped, and a commit returns
// [ErrUnknownOutcome].
func (s *Store) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	return s.rows.Transaction(ctx, identityID, fn)
}

// CreateSession implements [flowhook.SessionStore].
func (s *Store) CreateSession(ctx context.Context, v flowhook.Session) error {
	return s.rows.CreateSession(ctx, v)
}

// ReplaceSession implements [flowhook.SessionReplacer]. On PostgreSQL it is one statement.
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

// DeleteSessions implements [flowhook.SessionRevoker]. With exceptID, it opens a transaction of the
// identity if ctx carries none.
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
// after a conflict, such as with DeleteExpired on MariaDB. DeleteExpired deletes the count when all
// tokens that it was about have expired.
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
// token still counts as an email that was sent. On MariaDB, DeleteExpired may return [ErrConflict] if
// users sign in at the same time; the next call deletes the rest.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	return s.rows.DeleteExpired(ctx, before, limit)
}

// Verify checks that two transactions of one identity wait for each other, on two connections of
// the pool. It takes about a quarter of a second and changes nothing. Call it when the service
// starts: a server that only looks like PostgreSQL may ignore the lock without an error, and then
// one user could keep sessions that were revoked. See Options.RowLocks.
func (s *Store) Verify(ctx context.Context) error {
	if s.database.dialect.oneWriter {
		return nil // only one transaction is open at a time
	}
	return s.rows.Verify(ctx, s.database.db.Stats().MaxOpenConnections)
}
