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

	"github.com/flowhook/flowhook/examples/authservice/internal/mail"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations
var migrations embed.FS

// A copy of the service takes up to connections and, on PostgreSQL, queueConnections more. They are made anew now and then, so
// that after a failover, or behind a load balancer, they do not stay where they were (see docs/postgresql.md).
const (
	connections        = 16
	queueConnections   = 4
	connectionLifetime = 30 * time.Minute
)

// A database is where everything is kept.
type database struct {
	*sql.DB
	dialect sqlstore.Dialect
	file    string        // of SQLite
	pool    *pgxpool.Pool // PostgreSQL, for the queue's worker, which listens; nil with SQLite
}

// openDatabase connects when it is first used, not here.
func openDatabase(ctx context.Context, c config) (*database, error) {
	d := &database{dialect: c.Dialect}
	switch c.Dialect {
	case sqlstore.SQLite:
		d.file = c.Database
		// Made here, since SQLite would let everybody on the machine read it.
		f, err := os.OpenFile(d.file, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening the SQLite file: %w", err)
		}
		f.Close()
		// Immediate, so that a transaction that goes on to write does not fail for having read before; and synchronous
		// NORMAL: what was committed survives the process, but the last of it perhaps not a power cut.
		path := (&url.URL{Path: filepath.ToSlash(c.Database)}).EscapedPath()
		db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"+
			"&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)")
		if err != nil {
			return nil, fmt.Errorf("opening the SQLite file: %w", err)
		}
		d.DB = db
	case sqlstore.PostgreSQL:
		connector, err := pgx.ParseConfig(c.Database)
		if err != nil {
			return nil, errors.New("DATABASE_URL is not a PostgreSQL URL that can be read") // err may quote it
		}
		connector.ConnectTimeout = 5 * time.Second
		pool, err := pgxpool.ParseConfig(c.Database)
		if err != nil {
			return nil, errors.New("DATABASE_URL is not a PostgreSQL URL that can be read")
		}
		pool.MaxConns, pool.ConnConfig.ConnectTimeout = queueConnections, 5*time.Second
		pool.MaxConnLifetime = connectionLifetime
		if d.pool, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
			return nil, fmt.Errorf("opening PostgreSQL for the mail queue: %w", err)
		}
		d.DB = stdlib.OpenDB(*connector)
	}
	d.SetMaxOpenConns(connections)
	d.SetMaxIdleConns(connections) // to open one takes longer than most statements
	d.SetConnMaxIdleTime(5 * time.Minute)
	d.SetConnMaxLifetime(connectionLifetime)
	return d, nil
}

// Close closes all connections. A worker that does not end keeps its own, but not the process.
func (d *database) Close() error {
	if d.pool != nil {
		closed := make(chan struct{})
		go func() { d.pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(2 * time.Second):
		}
	}
	return d.DB.Close()
}

// migrate brings all tables up to date: the service's, flowhook's and the queue's. The caller holds the start-up lock.
func (d *database) migrate(ctx context.Context, queue mail.Options) error {
	own, err := fs.Sub(migrations, "migrations/"+string(d.dialect))
	if err != nil {
		return err
	}
	for _, m := range []struct {
		table string // of versions: each set of files counts for itself
		files fs.FS
	}{{"authservice_migrations", own}, {"flowhook_migrations", d.dialect.Migrations()}} {
		p, err := goose.NewProvider(goose.Dialect(d.dialect), d.DB, m.files, goose.WithTableName(m.table), goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return fmt.Errorf("migration (%s): %w", m.table, err)
		}
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migration (%s): %w", m.table, err)
		}
	}
	if err := mail.Migrate(ctx, queue); err != nil {
		return fmt.Errorf("migration of the mail queue: %w", err)
	}
	return nil
}

// startupLock is the key of the advisory lock on PostgreSQL: "authserv".
const startupLock = 0x6175746873657276

// alone runs fn while no other copy of the service does: several may start at once, and neither goose nor River expects
// that. A copy that dies gives the lock back.
func (d *database) alone(ctx context.Context, fn func(ctx context.Context) error) error {
	if d.dialect == sqlstore.SQLite {
		lock := flock.New(d.file+".lock", flock.SetPermissions(0o600))
		if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the lock file beside the database: %w", err)
		}
		defer lock.Close() // the file stays: to remove it would be a race
		return fn(ctx)
	}
	conn, err := d.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", startupLock); err != nil {
		return fmt.Errorf("waiting for the start-up lock: %w", err)
	}
	err = fn(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, unlock := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", startupLock); unlock != nil {
		err = errors.Join(err, fmt.Errorf("giving the start-up lock back: %w", unlock))
	}
	return err
}

// A querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// on gives what a statement runs on: the transaction that ctx carries, with a context that lasts as long, or else the
// database. All statements of the service go through it, so that they take part in flowhook's transactions.
func (d *database) on(ctx context.Context) (context.Context, querier) {
	if tx, ok := sqlstore.Tx(ctx); ok {
		return sqlstore.TxContext(ctx), tx
	}
	return ctx, d.DB
}

// exec runs a statement and gives the number of rows it changed.
func (d *database) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, q := d.on(ctx)
	result, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads one row into dest. sql.ErrNoRows: there is none.
func (d *database) row(ctx context.Context, dest []any, query string, args ...any) error {
	ctx, q := d.on(ctx)
	return q.QueryRowContext(ctx, query, args...).Scan(dest...)
}
