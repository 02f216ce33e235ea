package onpostgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/pgxstore" // for native pgx
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/go-sql-driver/mysql" // for MariaDB
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // for SQLite
)

func open(url string) (*sql.DB, error) {
	db, err := sql.Open("pgx", url) // postgres://user:password@host:5432/database?connect_timeout=10
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(20) // in each copy of the service
	db.SetMaxIdleConns(20) // the default, 2, closes most of them after each burst
	db.SetConnMaxLifetime(30 * time.Minute)
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	// If several copies start at once, one migrates. The others retry each second for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, sqlstore.PostgreSQL.Migrations(),
		goose.WithTableName("flowhook_migrations"), goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func newPipeline(cfg *flowhook.Config, db *sql.DB) (*flowhook.Pipeline, *sqlstore.Store, error) {
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err != nil {
		return nil, nil, err
	}
	pipeline, err := flowhook.New(cfg, flowhook.Options{Store: store, Courier: outbox{}, Outbox: true})
	return pipeline, store, err
}

func register(ctx context.Context, pipeline *flowhook.Pipeline, x *flowhook.Exchange, email string) (handled bool, err error) {
	x.Identity = &flowhook.Identity{ID: rand.Text(), Addresses: []flowhook.Address{{Via: "email", Value: email}}}
	return pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		tx, ok := sqlstore.Tx(ctx)
		if !ok {
			return errors.New("register: the store is no sqlstore")
		}
		_, err := tx.ExecContext(sqlstore.TxContext(ctx), "INSERT INTO users (id, email) VALUES ($1, $2)", x.Identity.ID, email)
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
		return nil
	})
}

func registerOrRetry(ctx context.Context, pipeline *flowhook.Pipeline, x *flowhook.Exchange, email string) (handled bool, err error) {
	for range 3 {
		if handled, err = register(ctx, pipeline, x, email); !sqlstore.IsConflict(err) {
			break
		}
	}
	return handled, err
}

func openPool(ctx context.Context, url string) (*pgxpool.Pool, *pgxstore.Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, nil, err
	}
	config.MaxConns = 20 // in each copy of the service; pgx's default is 4, or the number of CPUs
	config.ConnConfig.ConnectTimeout = 10 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDBFromPool(pool) // for goose; closing it leaves the pool open
	err = errors.Join(migrate(ctx, db), db.Close())
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	store, err := pgxstore.New(pool)
	return pool, store, err
}

func deleteUser(ctx context.Context, store *sqlstore.Store, id string) error {
	return store.Transaction(ctx, id, func(ctx context.Context) error {
		if err := store.DeleteSessions(ctx, id, ""); err != nil {
			return err
		}
		tx, ok := sqlstore.Tx(ctx)
		if !ok {
			return errors.New("delete a user: no transaction")
		}
		for _, statement := range []string{
			"DELETE FROM flowhook_verifications WHERE identity_id = $1",
			"DELETE FROM users WHERE id = $1",
		} {
			if _, err := tx.ExecContext(sqlstore.TxContext(ctx), statement, id); err != nil {
				return fmt.Errorf("delete a user: %w", err)
			}
		}
		return nil
	})
}

// A tokenStore is a sqlstore.Store whose DeleteSessions also deletes the service's own tokens.
type tokenStore struct{ *sqlstore.Store }

func (s tokenStore) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	return s.Transaction(ctx, identityID, func(ctx context.Context) error {
		tx, ok := sqlstore.Tx(ctx)
		if !ok {
			return errors.New("delete tokens: no transaction")
		}
		exceptSession := exceptID
		err := tx.QueryRowContext(sqlstore.TxContext(ctx), "SELECT id FROM api_tokens WHERE id = $1 AND user_id = $2 FOR UPDATE",
			exceptID, identityID).Scan(new(string))
		switch {
		case err == nil:
			exceptSession = "" // it is a token, so no session is spared
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("delete tokens: %w", err)
		}
		if err := s.Store.DeleteSessions(ctx, identityID, exceptSession); err != nil {
			return err // ErrNotFound if exceptID is neither a token nor a session
		}
		_, err = tx.ExecContext(sqlstore.TxContext(ctx), "DELETE FROM api_tokens WHERE user_id = $1 AND id <> $2",
			identityID, exceptID)
		if err != nil {
			return fmt.Errorf("delete tokens: %w", err)
		}
		return nil
	})
}

type outbox struct{}

func (outbox) Send(ctx context.Context, m flowhook.Message) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("outbox: no transaction")
	}
	_, err := tx.ExecContext(sqlstore.TxContext(ctx), "INSERT INTO outbox (recipient, subject, body) VALUES ($1, $2, $3)",
		m.To, m.Subject, m.Text)
	return err
}

func cleanUp(ctx context.Context, store *sqlstore.Store, every time.Duration) {
	const batch = 1000
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		deleted, err := store.DeleteExpired(ctx, time.Now().Add(-time.Hour), batch)
		switch {
		case err != nil:
			slog.WarnContext(ctx, "cleaning up expired sessions", "error", err)
		case deleted >= batch:
			continue // there is more
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// mariaDBConfig returns the configuration with this DSN:
// user:password@tcp(host:3306)/database?interpolateParams=true&parseTime=true&timeout=10s&readTimeout=60s&writeTimeout=10s.
func mariaDBConfig(user, password, address, database string) *mysql.Config {
	config := mysql.NewConfig()
	config.User, config.Passwd = user, password
	config.Net, config.Addr, config.DBName = "tcp", address, database
	config.InterpolateParams = true // else each statement takes two round trips
	config.ParseTime = true         // for goose's lock
	config.Timeout = 10 * time.Second
	config.ReadTimeout = 60 * time.Second // longer than innodb_lock_wait_timeout (50 s by default)
	config.WriteTimeout = 10 * time.Second
	return config
}

func openMariaDB(config *mysql.Config) (*sql.DB, error) {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	db.SetConnMaxLifetime(3 * time.Minute) // shorter than the server's wait_timeout
	return db, nil
}

func migrateMariaDB(ctx context.Context, db *sql.DB) error {
	locker, err := lock.NewMySQLTableLocker() // a row of the table goose_lock
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, db, sqlstore.MariaDB.Migrations(),
		goose.WithTableName("flowhook_migrations"), goose.WithLocker(locker))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func openSQLite(file string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"+
		"&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)")
}

func migrateSQLite(ctx context.Context, db *sql.DB) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, sqlstore.SQLite.Migrations(),
		goose.WithTableName("flowhook_migrations"))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
