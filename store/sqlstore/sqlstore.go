// Package sqlstore is a store on PostgreSQL, MariaDB or SQLite. It uses database/sql, with a driver
// that the host chooses.
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
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
)

var (
	_ flowhook.Store        = (*Store)(nil)
	_ flowhook.SessionStore = (*Store)(nil)
	_ flowhook.TokenStore   = (*Store)(nil)
)

// A Store is a [flowhook.Store], a [flowhook.SessionStore] and a [flowhook.TokenStore].
// [New] makes it. It is safe for concurrent use, also by several processes on one database.
//
// An identity's ID and an address may have at most 1,024 bytes, and a session's ID 255. A token's
// data may have at most 4 KiB.
type Store struct {
	db      *sql.DB
	dialect *dialect
	queries queries
	limit   time.Duration        // of a wait that does not end with the request; answerLimit
	turn    chan struct{}        // full while a transaction is open; nil for a dialect with several writers
	parsed  map[string]*sql.Stmt // statements by their text; guarded by turn
}

// New returns the store in db. It does not connect. The host closes db.
func New(db *sql.DB, d Dialect) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: the database is nil")
	}
	of, err := d.find()
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, dialect: of, queries: of.queries(), limit: answerLimit}
	if of.oneWriter {
		s.turn = make(chan struct{}, 1)
	}
	return s, nil
}

// DeleteExpired deletes sessions, tokens and counts of attempts that expired before a time, at most
// limit of each, and returns how many it deleted. limit must be at least 1. To clean up, call it
// periodically until it returns less than limit.
//
// Choose a time in the past, by at least the longest interval of a hook that sends emails: an expired
// token still counts as an email that was sent. On MariaDB, DeleteExpired may return [ErrConflict] if
// users sign in at the same time; the next call deletes the rest.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	if limit < 1 {
		return 0, fmt.Errorf("sqlstore: DeleteExpired: the limit is %d; it has to be at least 1", limit)
	}
	for _, query := range []string{s.queries.expiredSessions, s.queries.expiredTokens, s.queries.expiredAttempts} {
		// Outside a transaction, the statement would not run at the dialect's isolation level.
		var n int64
		err := s.within(ctx, "", func(ctx context.Context) (err error) {
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
