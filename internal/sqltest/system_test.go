package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A store is what the tests use of a store in a database.
type store interface {
	flowhook.Store
	flowhook.SessionStore
	flowhook.SessionReplacer
	flowhook.TokenStore
	ListSessions(ctx context.Context, identityID string, now time.Time, limit int) ([]flowhook.Session, error)
	DeleteExpired(ctx context.Context, before time.Time, limit int) (deleted int, err error)
}

// A pool is a pool of connections, for stores of one kind.
type pool interface {
	// store returns a store that waits so long for the answer to a commit or rollback.
	store(answerTimeout time.Duration) (store, error)

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
	open     func(s system, source string, connections int) (pool, error)

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

// pool opens a pool for as long as a test runs.
func (s system) pool(t testing.TB, source string, connections int) pool {
	t.Helper()
	p, err := s.open(s, source, connections)
	require.NoError(t, err)
	t.Cleanup(p.close)
	return p
}

// store returns a store on a new database.
func (s system) store(t testing.TB) (store, *sql.DB) {
	t.Helper()
	source := s.database.migrated(t)
	made, err := s.pool(t, source+s.options, 20).store(0)
	require.NoError(t, err)
	return made, s.database.connect(t, source)
}

// eachSystem runs a test on all systems.
func eachSystem(t *testing.T, test func(t *testing.T, s system)) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
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

func openSQL(s system, source string, connections int) (pool, error) {
	db, err := sql.Open(s.database.driver, source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return sqlPool{db, s.database}, nil
}

func (p sqlPool) store(answerTimeout time.Duration) (store, error) {
	return sqlstore.NewWithOptions(p.db, p.database.dialect, sqlstore.Options{AnswerTimeout: answerTimeout})
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
