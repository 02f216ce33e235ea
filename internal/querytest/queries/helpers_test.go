package queries

import (
	"context"
	"database/sql"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/querytest/ent/user"
	"github.com/flowhook/flowhook/internal/querytest/sqlc/sqlcpgx"
	"github.com/flowhook/flowhook/internal/querytest/sqlc/sqlcsql"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A service has its queries in one library.
type service struct {
	store flowhook.Store
	users users

	// sessions counts a user's sessions in the transaction of ctx, with the same library.
	sessions func(ctx context.Context, id string) (int, error)

	native bool // the store is a pgxstore
}

// libraries open a service on a database with all tables.
var libraries = map[string]func(t *testing.T, url string) service{
	"database_sql": func(t *testing.T, url string) service {
		return service{store: newStore(t, open(t, url)), users: sqlUsers{}, sessions: func(ctx context.Context, id string) (n int, err error) {
			tx, _ := sqlstore.Tx(ctx)
			err = tx.QueryRowContext(sqlstore.TxContext(ctx), "SELECT count(*) FROM flowhook_sessions WHERE identity_id = $1",
				id).Scan(&n)
			return n, err
		}}
	},
	"sqlc": func(t *testing.T, url string) service {
		db := open(t, url)
		queries := sqlcsql.New(db)
		return service{store: newStore(t, db), users: sqlcUsers{queries}, sessions: func(ctx context.Context, id string) (int, error) {
			tx, _ := sqlstore.Tx(ctx)
			n, err := queries.WithTx(tx).CountSessions(sqlstore.TxContext(ctx), id)
			return int(n), err
		}}
	},
	"pgx": func(t *testing.T, url string) service {
		_, store := newPgxStore(t, url)
		return service{native: true, store: store, users: pgxUsers{}, sessions: func(ctx context.Context, id string) (n int, err error) {
			tx, _ := pgxstore.Tx(ctx)
			err = tx.QueryRow(ctx, "SELECT count(*) FROM flowhook_sessions WHERE identity_id = $1", id).Scan(&n)
			return n, err
		}}
	},
	"sqlc_on_pgx": func(t *testing.T, url string) service {
		pool, store := newPgxStore(t, url)
		queries := sqlcpgx.New(pool)
		return service{native: true, store: store, users: sqlcpgxUsers{queries}, sessions: func(ctx context.Context, id string) (int, error) {
			tx, _ := pgxstore.Tx(ctx)
			n, err := queries.WithTx(tx).CountSessions(ctx, id)
			return int(n), err
		}}
	},
	"GORM": func(t *testing.T, url string) service {
		db := open(t, url)
		users := newGORM(t, db)
		return service{store: newStore(t, db), users: users, sessions: func(ctx context.Context, id string) (int, error) {
			var n int64
			within, _ := users.within(ctx)
			err := within.Table("flowhook_sessions").Where("identity_id = ?", id).Count(&n).Error
			return int(n), err
		}}
	},
	"ent": func(t *testing.T, url string) service {
		return service{store: newStore(t, open(t, url)), users: entUsers{}, sessions: func(ctx context.Context, id string) (int, error) {
			client, _ := entUsers{}.within(ctx)
			return client.User.Query().Where(user.ID(id), func(s *entsql.Selector) {
				sessions := entsql.Table("flowhook_sessions")
				s.Join(sessions).On(s.C(user.FieldID), sessions.C("identity_id"))
			}).Count(sqlstore.TxContext(ctx))
		}}
	},
	"Bun": func(t *testing.T, url string) service {
		db := open(t, url)
		bundb := openBun(db)
		return service{store: newStore(t, db), users: bunUsers{bundb}, sessions: func(ctx context.Context, id string) (int, error) {
			tx, _ := sqlstore.Tx(ctx)
			n, err := bundb.NewSelect().Conn(tx).Table("flowhook_sessions").Where("identity_id = ?", id).
				Count(sqlstore.TxContext(ctx))
			return int(n), err
		}}
	},
}

func newStore(t *testing.T, db *sql.DB) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	return store
}

func newPgxStore(t *testing.T, url string) (*pgxpool.Pool, *pgxstore.Store) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := pgxstore.New(pool)
	require.NoError(t, err)
	return pool, store
}

func newGORM(t *testing.T, db *sql.DB) gormUsers {
	t.Helper()
	opened, err := openGORM(db)
	require.NoError(t, err)
	return gormUsers{opened}
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// newDatabase creates a database with the tables of the service and of flowhook. db is for looking
// at it from outside.
func newDatabase(t *testing.T) (url string, db *sql.DB) {
	t.Helper()
	url = testkit.PostgreSQL(t)
	db = open(t, url)
	_, err := db.Exec("CREATE TABLE users (id text PRIMARY KEY, email text NOT NULL UNIQUE)")
	require.NoError(t, err)
	migrations := sqlstore.PostgreSQL.Migrations()
	names, err := fs.Glob(migrations, "*.sql")
	require.NoError(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		require.NoError(t, err)
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		_, err = db.Exec(up)
		require.NoError(t, err, name)
	}
	return url, db
}

const config = `
secrets: {session: [only-for-this-test-0123456789]}
selfservice: {registration: {after: {password: [{hook: session}]}}}
`

// newPipeline returns a pipeline whose registration runs the session hook and then after.
func newPipeline(
	t *testing.T, store flowhook.Store, after func(ctx context.Context, x *flowhook.Exchange) error,
) *flowhook.Pipeline {
	t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(config))
	require.NoError(t, err)
	if after != nil {
		cfg.Add(flowhook.Point{Flow: flowhook.Registration, Strategy: flowhook.Password, Phase: flowhook.After}, "test",
			flowhook.HookFunc(after))
	}
	pipeline, err := flowhook.New(cfg, flowhook.Options{Store: store, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return pipeline
}

// newExchange returns an exchange and its context. The cookie of a session is in the response.
func newExchange(t *testing.T) (context.Context, *flowhook.Exchange, *httptest.ResponseRecorder) {
	t.Helper()
	w := httptest.NewRecorder()
	x := &flowhook.Exchange{Writer: w, Request: httptest.NewRequest("POST", "/registration", nil)}
	return flowhook.NewContext(t.Context(), x), x, w
}

// requireRows asserts the number of rows in a table, which may have a condition.
func requireRows(t *testing.T, db *sql.DB, want int, table string, args ...any) {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM "+table, args...).Scan(&n))
	require.Equal(t, want, n, table)
}
