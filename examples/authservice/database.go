package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	goosedb "github.com/pressly/goose/v3/database"
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
	readyTime          = 2 * time.Second // for the answer to a health check
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

// ready returns an error if the database cannot be reached or, on PostgreSQL, accepts no writes: it
// is a standby, or its provider has made it read-only because its disk is almost full.
func (d *database) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if d.pool == nil {
		return d.PingContext(ctx)
	}
	var readOnly string
	err := d.row(ctx, []any{&readOnly}, "SELECT current_setting('transaction_read_only')")
	if err == nil && readOnly == "on" {
		return errReadOnly
	}
	return err
}

var errReadOnly = errors.New("the database is read-only")

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

// A migrationSet is a set of migrations, which has a version table of its own.
type migrationSet struct {
	*goose.Provider
	table string
}

// migrationSets returns the service's migrations and flowhook's.
func (d *database) migrationSets() (sets []migrationSet, err error) {
	own, err := fs.Sub(migrations, "migrations/"+string(d.dialect))
	if err != nil {
		return nil, err
	}
	for _, m := range []struct {
		table string
		files fs.FS
	}{{"authservice_migrations", own}, {"flowhook_migrations", d.dialect.Migrations()}} {
		p, err := goose.NewProvider(goose.Dialect(d.dialect), d.DB, m.files, goose.WithTableName(m.table),
			goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return nil, fmt.Errorf("migrating (%s): %w", m.table, err)
		}
		sets = append(sets, migrationSet{p, m.table})
	}
	return sets, nil
}

// pending returns how many migrations the database lacks, without those of the outbox. If a newer
// program has migrated the database, that is an error. It changes nothing, unlike the methods of a
// goose.Provider, which create the version table.
func (d *database) pending(ctx context.Context, sets []migrationSet) (n int, err error) {
	exists := "SELECT count(*) FROM sqlite_schema WHERE name = $1"
	if d.dialect == sqlstore.PostgreSQL {
		exists = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"
	}
	for _, m := range sets {
		store, err := goosedb.NewStore(goose.Dialect(d.dialect), m.table)
		if err != nil {
			return 0, err
		}
		tables, version := 0, int64(0)
		if err := d.QueryRowContext(ctx, exists, m.table).Scan(&tables); err != nil {
			return 0, err
		}
		if tables > 0 {
			if version, err = store.GetLatestVersion(ctx, d.DB); err != nil {
				return 0, fmt.Errorf("reading the table %s: %w", m.table, err)
			}
		}
		all := m.ListSources()
		if known := all[len(all)-1].Version; version > known {
			return 0, fmt.Errorf("a newer version of this program has migrated the database: %s has version %d, but this "+
				"program knows only %d; start the newer program, or restore a backup", m.table, version, known)
		}
		for _, one := range all {
			if one.Version > version {
				n++
			}
		}
	}
	return n, nil
}

// migrate migrates all tables: the service's, flowhook's and the outbox's. The caller holds the
// startup lock.
func (d *database) migrate(ctx context.Context, queue outbox.Options, log *slog.Logger) error {
	sets, err := d.migrationSets()
	if err != nil {
		return err
	}
	if _, err := d.pending(ctx, sets); err != nil {
		return err
	}
	for _, m := range sets {
		applied, err := m.Up(ctx)
		for _, one := range applied {
			log.Info("migrated the database", "table", m.table, "migration", one.Source.Path, "took", one.Duration)
		}
		if err != nil {
			return fmt.Errorf("migrating (%s): %w", m.table, err)
		}
	}
	return outbox.Migrate(ctx, queue)
}

// outboxOptions returns the options of an outbox in the database.
func (d *database) outboxOptions() outbox.Options {
	if d.pool != nil {
		return outbox.Options{Pool: d.pool}
	}
	return outbox.Options{DB: d.DB, Dialect: d.dialect}
}

// startupLock is the key of the advisory lock on PostgreSQL, "authserv" in ASCII.
const startupLock = 0x6175746873657276

// alone runs fn under a lock that all copies of the service share. Several copies may start at
// once, which neither goose nor River supports. The lock is released if the process dies.
func (d *database) alone(ctx context.Context, log *slog.Logger, fn func(ctx context.Context) error) error {
	waiting := time.AfterFunc(time.Second, func() {
		log.Warn("waiting for the startup lock, which another copy of the service holds")
	})
	defer waiting.Stop()
	if d.dialect == sqlstore.SQLite {
		lock := flock.New(d.file+".lock", flock.SetPermissions(0o600))
		if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the lock file next to the database: %w", err)
		}
		waiting.Stop()
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
	waiting.Stop()
	err = fn(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, unlock := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", startupLock); unlock != nil {
		err = errors.Join(err, fmt.Errorf("releasing the startup lock: %w", unlock))
	}
	return err
}
