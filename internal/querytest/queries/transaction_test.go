package queries

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"gorm.io/gorm"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/querytest/ent"
)

func TestEmailOf(t *testing.T) {
	url, transaction := begin(t)
	db := open(t, url)
	require.NoError(t, transaction(func(ctx context.Context) error {
		require.NoError(t, sqlUsers{}.Insert(ctx, "1", alice))
		email, err := emailOf(ctx, db, "1")
		require.NoError(t, err)
		require.Equal(t, alice, email)
		_, err = emailOf(t.Context(), db, "1")
		require.ErrorIs(t, err, sql.ErrNoRows, "it is not committed")
		return nil
	}))
	email, err := emailOf(t.Context(), db, "1")
	require.NoError(t, err)
	require.Equal(t, alice, email)
}

func TestAttempt(t *testing.T) {
	url, transaction := begin(t)
	var users sqlUsers
	require.ErrorIs(t, attempt(t.Context(), nil), errNoTransaction)
	require.NoError(t, transaction(func(ctx context.Context) error {
		require.NoError(t, attempt(ctx, func(ctx context.Context) error { return users.Insert(ctx, "1", alice) }))
		require.Error(t, attempt(ctx, func(ctx context.Context) error { return users.Insert(ctx, "2", alice) }))
		require.ErrorIs(t, attempt(ctx, func(ctx context.Context) error {
			require.NoError(t, users.Insert(ctx, "3", "carol@example.org"))
			return errOnPurpose
		}), errOnPurpose)
		return users.Insert(ctx, "4", "dave@example.org")
	}))
	db := open(t, url)
	requireRows(t, db, 2, "users")
	requireRows(t, db, 2, "users WHERE id IN ('1', '4')")
}

func TestAttempt_StoreFails(t *testing.T) {
	url, db := newDatabase(t)
	store := newStore(t, open(t, url))
	session := flowhook.Session{ID: "one", IdentityID: "alice", ExpiresAt: time.Now().Add(time.Hour)}
	require.Error(t, store.Transaction(t.Context(), "alice", func(ctx context.Context) error {
		require.NoError(t, store.CreateSession(ctx, session))
		require.Error(t, attempt(ctx, func(ctx context.Context) error { return store.CreateSession(ctx, session) }))
		return nil
	}))
	requireRows(t, db, 0, "flowhook_sessions")
}

func TestComplete_IgnoredError(t *testing.T) {
	url, db := newDatabase(t)
	_, err := db.Exec("INSERT INTO users (id, email) VALUES ('1', $1)", alice)
	require.NoError(t, err)
	pipeline := newPipeline(t, newStore(t, open(t, url)), nil)
	ctx, x, w := newExchange(t)
	x.Identity = &flowhook.Identity{ID: "2"}
	_, err = pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		require.Error(t, sqlUsers{}.Insert(ctx, "2", alice))
		return nil
	})
	require.Error(t, err)
	require.Empty(t, w.Result().Cookies())
	requireRows(t, db, 0, "flowhook_sessions")
}

// A statement outside the transaction waits for a second connection.
func TestComplete_OutsideNeedsSecondConnection(t *testing.T) {
	url, _ := newDatabase(t)
	for connections, want := range map[int]error{1: context.DeadlineExceeded, 2: nil} {
		db := open(t, url)
		db.SetMaxOpenConns(connections)
		pipeline := newPipeline(t, newStore(t, db), func(ctx context.Context, _ *flowhook.Exchange) error {
			if want != nil {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			return db.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
		})
		ctx, x, _ := newExchange(t)
		_, err := register(ctx, pipeline, x, sqlUsers{}, fmt.Sprint(connections, "@example.org"))
		require.ErrorIs(t, err, want)
	}
}

// The user's row of a transaction around Complete is rolled back, the session is not.
func TestComplete_InTransactionOfHost(t *testing.T) {
	for name, around := range map[string]func(t *testing.T, db *sql.DB, complete func()){
		"database_sql": func(t *testing.T, db *sql.DB, complete func()) {
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.Exec("INSERT INTO users (id, email) VALUES ('1', $1)", alice)
			require.NoError(t, err)
			complete()
			require.NoError(t, tx.Rollback())
		},
		"GORM": func(t *testing.T, db *sql.DB, complete func()) {
			require.ErrorIs(t, newGORM(t, db).db.Transaction(func(tx *gorm.DB) error {
				require.NoError(t, tx.Create(&gormUser{ID: "1", Email: alice}).Error)
				complete()
				return errOnPurpose
			}), errOnPurpose)
		},
		"ent": func(t *testing.T, db *sql.DB, complete func()) {
			tx, err := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, db))).Tx(t.Context())
			require.NoError(t, err)
			require.NoError(t, tx.User.Create().SetID("1").SetEmail(alice).Exec(t.Context()))
			complete()
			require.NoError(t, tx.Rollback())
		},
		"Bun": func(t *testing.T, db *sql.DB, complete func()) {
			require.ErrorIs(t, openBun(db).RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.NewInsert().Model(&bunUser{ID: "1", Email: alice}).Exec(ctx)
				require.NoError(t, err)
				complete()
				return errOnPurpose
			}), errOnPurpose)
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, outside := newDatabase(t)
			db := open(t, url)
			pipeline := newPipeline(t, newStore(t, db), nil)
			around(t, db, func() {
				ctx, x, _ := newExchange(t)
				x.Identity = &flowhook.Identity{ID: "1"}
				_, err := pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, nil)
				require.NoError(t, err)
			})
			requireRows(t, outside, 0, "users")
			requireRows(t, outside, 1, "flowhook_sessions")
		})
	}
}

// Complete waits for the locks of a transaction around it.
func TestComplete_InTransactionOfHost_Waits(t *testing.T) {
	url, db := newDatabase(t)
	pipeline := newPipeline(t, newStore(t, open(t, url)), nil)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO users (id, email) VALUES ('1', $1)", alice)
	require.NoError(t, err)
	ctx, x, _ := newExchange(t)
	short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond) // longer than PostgreSQL's deadlock_timeout
	defer cancel()
	_, err = register(short, pipeline, x, sqlUsers{}, alice)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// In a transaction of the store, Complete commits with it, but answers before.
func TestComplete_InTransactionOfStore(t *testing.T) {
	url, db := newDatabase(t)
	store := newStore(t, open(t, url))
	pipeline := newPipeline(t, store, nil)
	ctx, x, w := newExchange(t)
	require.ErrorIs(t, store.Transaction(ctx, "", func(ctx context.Context) error {
		_, err := register(ctx, pipeline, x, sqlUsers{}, alice)
		require.NoError(t, err)
		requireRows(t, db, 0, "users")
		return errOnPurpose
	}), errOnPurpose)
	require.Len(t, w.Result().Cookies(), 1, "a cookie without a session")
	requireRows(t, db, 0, "users")
	requireRows(t, db, 0, "flowhook_sessions")
}

func TestChangeEmail(t *testing.T) {
	url, db := newDatabase(t)
	shared := open(t, url)
	store := newStore(t, shared)
	users := newGORM(t, shared)
	for _, id := range []string{"1", "2"} {
		_, err := db.Exec("INSERT INTO users (id, email) VALUES ($1, $1 || '@example.org')", id)
		require.NoError(t, err)
		require.NoError(t, store.CreateSession(t.Context(), flowhook.Session{
			ID: "session of " + id, IdentityID: id, ExpiresAt: time.Now().Add(time.Hour),
		}))
	}
	require.NoError(t, changeEmail(t.Context(), store, users, "1", alice))
	requireRows(t, db, 1, "users WHERE id = '1' AND email = $1", alice)
	requireRows(t, db, 1, "users WHERE id = '2' AND email = '2@example.org'")
	requireRows(t, db, 0, "flowhook_sessions WHERE identity_id = '1'")

	require.Error(t, changeEmail(t.Context(), store, users, "2", alice), "the email is taken")
	requireRows(t, db, 1, "users WHERE id = '2' AND email = '2@example.org'")
	requireRows(t, db, 1, "flowhook_sessions WHERE identity_id = '2'")

	_, err := db.Exec("ALTER TABLE flowhook_sessions RENAME TO gone")
	require.NoError(t, err)
	require.Error(t, changeEmail(t.Context(), store, users, "2", "new@example.org"))
	requireRows(t, db, 1, "users WHERE id = '2' AND email = '2@example.org'")
}
