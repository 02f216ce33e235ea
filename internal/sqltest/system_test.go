package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A store is what the tests use of a store in a database.
type store interface {
	flowhook.Store
	flowhook.SessionStore
	flowhook.TokenStore
	ListSessions(ctx context.Context, identityID string, now time.Time, limit int) ([]flowhook.Session, error)
	DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error)
}

// A pool is a pool of connections, for stores of one kind.
type pool interface {
	// store returns a store that waits so long for the answer to a commit or rollback.
	store(t testing.TB, answerTimeout time.Duration) store

	// exec runs a statement of the host in the transaction that ctx carries.
	exec(ctx context.Context, query string, args ...any) error

	connections() (inUse, total int)
	close()
}

// A system is a kind of store on a database.
type system struct {
	name     string
	database database
	options  string // parameters of the source
	open     func(t testing.TB, s system, source string, connections int) pool

	// closesLate is set if a dropped connection counts as one of the pool's until the server has
	// closed it, or 15 seconds have passed.
	closesLate bool
}

// systems are the systems that the tests of complete calls run on.
var systems = []system{
	{name: "sqlstore on PostgreSQL", database: postgreSQL, open: openSQL},
	{name: "pgxstore on PostgreSQL", database: postgreSQL, open: openPgx, closesLate: true},
	{name: "sqlstore on MariaDB", database: mariaDB, options: "?interpolateParams=true", open: openSQL},
	{name: "sqlstore on SQLite", database: sqlite, open: openSQL},
}

// eachWire runs a test on all systems that are reached over TCP.
func eachWire(t *testing.T, test func(t *testing.T, s system)) {
	for _, s := range systems {
		if s.database.redirect != nil {
			t.Run(s.name, func(t *testing.T) { test(t, s) })
		}
	}
}

// A sqlPool is the pool of a sqlstore.
type sqlPool struct {
	db       *sql.DB
	database database
}

func openSQL(t testing.TB, s system, source string, connections int) pool {
	db := s.database.connect(t, source)
	db.SetMaxOpenConns(connections)
	return sqlPool{db, s.database}
}

func (p sqlPool) store(t testing.TB, answerTimeout time.Duration) store {
	return newSQLStore(t, p.db, p.database.dialect, answerTimeout)
}

func (p sqlPool) exec(ctx context.Context, query string, args ...any) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("the context carries no transaction")
	}
	_, err := tx.ExecContext(sqlstore.TxContext(ctx), p.database.bind(query), args...)
	return err
}

func (p sqlPool) connections() (inUse, total int) {
	stats := p.db.Stats()
	return stats.InUse, stats.OpenConnections
}

func (p sqlPool) close() { p.db.Close() }
