package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations
var migrations embed.FS

// A copy of the service uses up to connections, for requests and for the outbox. Connections are
// replaced after connectionLifetime, so that they follow a failover or a load balancer (see
// docs/postgresql.md).
const (
	connections        = 20
	connectionLifetime = 30 * time.Minute
	connectionIdle     = 5 * time.Minute // opening one takes longer than most statements
	connectTime        = 5 * time.Second
)

// A database is the service's database, on SQLite or PostgreSQL. On PostgreSQL, the DB is for goose
// and for checks of the connection. It has no connections of its own; it takes them from the pool.
type database struct {
	*sql.DB
	dialect sqlstore.Dialect
	file    string        // the path of the SQLite file
	pool    *pgxpool.Pool // PostgreSQL; nil with SQLite
}

// openDatabase opens the database. It connects on first use.
func openDatabase(ctx context.Context, c config) (d *database, err error) {
	if c.Dialect == sqlstore.SQLite {
		d, err = openSQLite(c.Database)
	} else {
		d, err = openPostgreSQL(ctx, c.Database)
	}
	if err != nil {
		return nil, err
	}
	d.dialect = c.Dialect
	return d, nil
}

func openSQLite(file string) (*database, error) {
	// SQLite would create it readable for all users of the machine
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the SQLite file: %w", err)
	}
	f.Close()
	// Immediate transactions do not fail when they write after reading. With synchronous=NORMAL, a
	// commit survives the end of the process, but the last ones may not survive a power cut.
	path := (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath()
	options := "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)"
	db, err := sql.Open("sqlite", "file:"+path+options)
	if err != nil {
		return nil, fmt.Errorf("opening the SQLite file: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(connectionIdle)
	db.SetConnMaxLifetime(connectionLifetime)
	return &database{DB: db, file: file}, nil
}

// openExisting opens the database for reading. It creates no SQLite file: without one, its error is
// fs.ErrNotExist.
func openExisting(ctx context.Context, c config) (*database, error) {
	if c.Dialect != sqlstore.SQLite {
		return openDatabase(ctx, c)
	}
	if _, err := os.Stat(c.Database); err != nil {
		return nil, err
	}
	path := (&url.URL{Path: filepath.ToSlash(c.Database)}).EscapedPath()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, fmt.Errorf("opening the SQLite file: %w", err)
	}
	return &database{DB: db, dialect: c.Dialect, file: c.Database}, nil
}

func openPostgreSQL(ctx context.Context, databaseURL string) (*database, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not a valid PostgreSQL URL") // which may contain a password
	}
	config.MaxConns, config.ConnConfig.ConnectTimeout = connections, connectTime
	config.MaxConnIdleTime, config.MaxConnLifetime = connectionIdle, connectionLifetime
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening PostgreSQL: %w", err)
	}
	return &database{DB: stdlib.OpenDBFromPool(pool), pool: pool}, nil
}

// Close closes all connections. It waits at most closeTime for a worker that does not stop.
func (d *database) Close() error {
	if d.pool != nil {
		closed := make(chan struct{})
		go func() { d.pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(closeTime):
		}
	}
	return d.DB.Close()
}

// migrate migrates all tables: the service's, flowhook's and the outbox's. The caller holds the
// startup lock.
func (d *database) migrate(ctx context.Context, queue outbox.Options) error {
	own, err := fs.Sub(migrations, "migrations/"+string(d.dialect))
	if err != nil {
		return err
	}
	for _, m := range []struct {
		table string // each set of migrations has its own version table
		files fs.FS
	}{{"authservice_migrations", own}, {"flowhook_migrations", d.dialect.Migrations()}} {
		p, err := goose.NewProvider(goose.Dialect(d.dialect), d.DB, m.files, goose.WithTableName(m.table),
			goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return fmt.Errorf("migrating (%s): %w", m.table, err)
		}
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrating (%s): %w", m.table, err)
		}
	}
	return outbox.Migrate(ctx, queue)
}

// startupLock is the key of the advisory lock on PostgreSQL, "authserv" in ASCII.
const startupLock = 0x6175746873657276

// alone runs fn under a lock that all copies of the service share. Several copies may start at
// once, which neither goose nor River supports. The lock is released if the process dies.
func (d *database) alone(ctx context.Context, fn func(ctx context.Context) error) error {
	if d.dialect == sqlstore.SQLite {
		lock := flock.New(d.file+".lock", flock.SetPermissions(0o600))
		if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the lock file next to the database: %w", err)
		}
		defer lock.Close() // removing the file would be a race
		return fn(ctx)
	}
	conn, err := d.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", startupLock); err != nil {
		return fmt.Errorf("waiting for the startup lock: %w", err)
	}
	err = fn(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, unlock := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", startupLock); unlock != nil {
		err = errors.Join(err, fmt.Errorf("releasing the startup lock: %w", unlock))
	}
	return err
}
