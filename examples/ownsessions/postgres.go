package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const schema = `
CREATE TABLE IF NOT EXISTS users (
	name     text PRIMARY KEY,
	email    text NOT NULL,
	motto    text NOT NULL,
	verified boolean NOT NULL,
	salt     bytea NOT NULL,
	hash     bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions (
	token  text PRIMARY KEY,
	data   bytea NOT NULL,
	expiry timestamptz NOT NULL
);
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS ended boolean NOT NULL DEFAULT false; -- scs's own has none
CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (expiry);
DELETE FROM sessions WHERE expiry <= now(); -- a service does this once in a while`

// A postgres is a database on PostgreSQL. The sqlstore has the transactions and the tokens of
// emailed links. Its table of sessions remains empty.
type postgres struct {
	*sqlstore.Store
	db *sql.DB
}

// openPostgres opens a database and creates its tables. The caller closes db.
func openPostgres(ctx context.Context, url string) (*postgres, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(20)
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err == nil {
		err = migrate(ctx, db)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	return &postgres{store, db}, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, sqlstore.PostgreSQL.Migrations(),
		goose.WithTableName("flowhook_migrations"), goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, schema)
	return err
}

// A querier is a *sql.DB or a *sql.Tx.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// in returns what statements with ctx run on, the transaction that it carries or the pool, and the
// context for them.
func (p *postgres) in(ctx context.Context) (querier, context.Context) {
	if tx, ok := sqlstore.Tx(ctx); ok {
		return tx, sqlstore.TxContext(ctx)
	}
	return p.db, ctx
}

func (p *postgres) User(ctx context.Context, name string) (u user, err error) {
	q, ctx := p.in(ctx)
	err = q.QueryRowContext(ctx, "SELECT name, email, motto, verified, salt, hash FROM users WHERE name = $1", name).
		Scan(&u.Name, &u.Email, &u.Motto, &u.Verified, &u.Salt, &u.Hash)
	if errors.Is(err, sql.ErrNoRows) {
		return user{}, nil
	}
	return u, err
}

func (p *postgres) SaveUser(ctx context.Context, u user) error {
	q, ctx := p.in(ctx)
	_, err := q.ExecContext(ctx, `INSERT INTO users (name, email, motto, verified, salt, hash)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET email = excluded.email, motto = excluded.motto,
		verified = excluded.verified, salt = excluded.salt, hash = excluded.hash`,
		u.Name, u.Email, u.Motto, u.Verified, u.Salt, u.Hash)
	return err
}

func (p *postgres) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	q, ctx := p.in(ctx)
	err = q.QueryRowContext(ctx, "SELECT data FROM sessions WHERE token = $1 AND NOT ended AND expiry > now()", token).
		Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return data, err == nil, err
}

func (p *postgres) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	q, ctx := p.in(ctx)
	result, err := q.ExecContext(ctx, `INSERT INTO sessions (token, data, expiry) VALUES ($1, $2, $3)
		ON CONFLICT (token) DO UPDATE SET data = excluded.data, expiry = excluded.expiry WHERE NOT sessions.ended`,
		token, data, expiry)
	if err != nil {
		return err
	}
	stored, err := result.RowsAffected()
	if err == nil && stored == 0 {
		return errEnded
	}
	return err
}

func (p *postgres) DeleteCtx(ctx context.Context, token string) error {
	q, ctx := p.in(ctx)
	_, err := q.ExecContext(ctx, "UPDATE sessions SET ended = true, data = '' WHERE token = $1", token)
	return err
}

func (p *postgres) AllCtx(ctx context.Context) (map[string][]byte, error) {
	q, ctx := p.in(ctx)
	rows, err := q.QueryContext(ctx, "SELECT token, data FROM sessions WHERE NOT ended AND expiry > now()")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string][]byte{}
	for rows.Next() {
		var token string
		var data []byte
		if err := rows.Scan(&token, &data); err != nil {
			return nil, err
		}
		all[token] = data
	}
	return all, rows.Err()
}
