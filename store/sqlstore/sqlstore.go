// Package sqlstore is a store on PostgreSQL, MariaDB or SQLite, through database/sql: the driver is the host's.
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	...
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//
// Its tables are made by the files of [Dialect.Migrations]. A transaction travels in the context: the host's own
// statements take part in it through [Tx], with a context from [Context].
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
	_ flowhook.Store             = (*Store)(nil)
	_ flowhook.SessionStore      = (*Store)(nil)
	_ flowhook.VerificationStore = (*Store)(nil)
)

// A Store is a [flowhook.Store] with all that a store may have: it is a [flowhook.SessionStore] and a
// [flowhook.VerificationStore] too. It is made by [New] and safe for concurrent use, by several processes on one
// database too.
//
// An identity's ID may have 1,024 bytes, a session's 255, an address 1,024.
type Store struct {
	db      *sql.DB
	dialect *dialect
	queries queries
	limit   time.Duration        // of a wait that the request's end does not cut short; answerLimit
	turn    chan struct{}        // of a dialect with one writer: full while it writes; else nil
	parsed  map[string]*sql.Stmt // statements by their text; guarded by turn
}

// New gives the store that is in db. It does not connect, and leaves closing db to the host.
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

// DeleteExpired deletes sessions and verification tokens that had expired at the time before, at most limit of each, and
// says how many there were; limit is at least 1. To clean up is to call it, now and then, until it gives less than limit.
// Let before be in the past by at least the longest interval of a verify hook: an expired token still says that a mail
// went out. Beside sign-ins it may give [ErrConflict], on MariaDB: what is left goes the next time.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	if limit < 1 {
		return 0, fmt.Errorf("sqlstore: DeleteExpired: the limit is %d; it has to be at least 1", limit)
	}
	for _, query := range []string{s.queries.expiredSessions, s.queries.expiredVerifications} {
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
)

// storable says whether the column takes s as it is. What is not storable is not stored either.
func storable(s string, length int) bool {
	return len(s) <= length && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

func micro(t int64) time.Time { return time.UnixMicro(t).UTC() }
