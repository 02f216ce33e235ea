package queries

import (
	"context"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/flowhook/flowhook/internal/querytest/ent"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// begin returns a store on a new database, and a function that runs a transaction of alice.
func begin(t *testing.T) (url string, transaction func(fn func(ctx context.Context) error) error) {
	t.Helper()
	url, _ = newDatabase(t)
	store := newStore(t, open(t, url))
	return url, func(fn func(ctx context.Context) error) error {
		return store.Transaction(t.Context(), "alice", fn)
	}
}

func TestGORM_Transaction_IsSavepoint(t *testing.T) {
	url, transaction := begin(t)
	db := open(t, url)
	users := newGORM(t, db)
	require.NoError(t, transaction(func(ctx context.Context) error {
		within, _ := users.within(ctx)
		require.NoError(t, within.Transaction(func(inner *gorm.DB) error {
			return inner.Create(&gormUser{ID: "1", Email: alice}).Error
		}))
		require.Error(t, within.Transaction(func(inner *gorm.DB) error {
			return inner.Create(&gormUser{ID: "2", Email: alice}).Error
		}))
		requireRows(t, db, 0, "users")
		return users.Insert(ctx, "3", "carol@example.org")
	}))
	requireRows(t, db, 2, "users WHERE id IN ('1', '3')")
	require.ErrorIs(t, transaction(func(ctx context.Context) error {
		within, _ := users.within(ctx)
		require.NoError(t, within.Transaction(func(inner *gorm.DB) error {
			return inner.Create(&gormUser{ID: "4", Email: "dave@example.org"}).Error
		}))
		return errOnPurpose
	}), errOnPurpose)
	requireRows(t, db, 2, "users")
}

func TestGORM_PrepareStmt(t *testing.T) {
	url, transaction := begin(t)
	db := open(t, url)
	opened, err := gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{PrepareStmt: true})
	require.NoError(t, err)
	users := gormUsers{opened}
	require.ErrorIs(t, transaction(func(ctx context.Context) error {
		require.NoError(t, users.Insert(ctx, "1", alice))
		return errOnPurpose
	}), errOnPurpose)
	requireRows(t, db, 0, "users")
	require.NoError(t, opened.Create(&gormUser{ID: "1", Email: alice}).Error)
	requireRows(t, db, 1, "users")
}

func TestGORM_OutsideIsUnchanged(t *testing.T) {
	url, transaction := begin(t)
	db := open(t, url)
	users := newGORM(t, db)
	require.ErrorIs(t, transaction(func(ctx context.Context) error {
		_, ok := users.within(ctx)
		require.True(t, ok)
		require.NoError(t, users.db.Create(&gormUser{ID: "1", Email: alice}).Error)
		return errOnPurpose
	}), errOnPurpose)
	requireRows(t, db, 1, "users")
}

func TestEnt_UpdateOne(t *testing.T) {
	url, transaction := begin(t)
	db := open(t, url)
	update := func(ctx context.Context, client *ent.Client) error {
		return client.User.UpdateOneID("1").SetEmail("new@example.org").Exec(sqlstore.TxContext(ctx))
	}
	var all entUsers
	require.NoError(t, transaction(func(ctx context.Context) error { return all.Insert(ctx, "1", alice) }))
	require.ErrorIs(t, transaction(func(ctx context.Context) error {
		client, _ := all.within(ctx)
		require.NoError(t, update(ctx, client))
		return errOnPurpose
	}), errOnPurpose)
	requireRows(t, db, 1, "users WHERE email = $1", alice)
	require.NoError(t, transaction(func(ctx context.Context) error {
		client, _ := all.within(ctx)
		return update(ctx, client)
	}))
	requireRows(t, db, 1, "users WHERE email = 'new@example.org'")

	require.Panics(t, func() {
		transaction(func(ctx context.Context) error {
			tx, _ := sqlstore.Tx(ctx)
			driver := entsql.NewDriver(dialect.Postgres, entsql.Conn{ExecQuerier: tx})
			return update(ctx, ent.NewClient(ent.Driver(driver)))
		})
	}, "entDriver is not needed")
}

func TestEnt_TxRollback_DoesNothing(t *testing.T) {
	url, transaction := begin(t)
	require.NoError(t, transaction(func(ctx context.Context) error {
		client, _ := entUsers{}.within(ctx)
		tx, err := client.Tx(sqlstore.TxContext(ctx))
		require.NoError(t, err)
		require.NoError(t, tx.User.Create().SetID("1").SetEmail(alice).Exec(sqlstore.TxContext(ctx)))
		return tx.Rollback()
	}))
	requireRows(t, open(t, url), 1, "users")
}

func TestBun_WithoutConn(t *testing.T) {
	url, transaction := begin(t)
	db := open(t, url)
	bundb := openBun(db)
	require.ErrorIs(t, transaction(func(ctx context.Context) error {
		_, err := bundb.NewInsert().Model(&bunUser{ID: "1", Email: alice}).Exec(sqlstore.TxContext(ctx))
		require.NoError(t, err)
		return errOnPurpose
	}), errOnPurpose)
	requireRows(t, db, 1, "users")
}

func TestPgx_Begin_IsSavepoint(t *testing.T) {
	url, db := newDatabase(t)
	_, store := newPgxStore(t, url)
	var users pgxUsers
	require.NoError(t, store.Transaction(t.Context(), "alice", func(ctx context.Context) error {
		require.NoError(t, users.Insert(ctx, "1", alice))
		tx, _ := pgxstore.Tx(ctx)
		inner, err := tx.Begin(ctx)
		require.NoError(t, err)
		require.Error(t, users.Insert(ctx, "2", alice))
		require.NoError(t, inner.Rollback(ctx))
		return users.Insert(ctx, "3", "carol@example.org")
	}))
	requireRows(t, db, 2, "users WHERE id IN ('1', '3')")
}

func TestPgx_CommitAndRollback(t *testing.T) {
	url, db := newDatabase(t)
	_, store := newPgxStore(t, url)
	for name, end := range map[string]func(ctx context.Context, tx pgx.Tx){
		"commit": func(ctx context.Context, tx pgx.Tx) { require.Error(t, tx.Commit(ctx)) },
		"rollback": func(ctx context.Context, tx pgx.Tx) {
			require.NoError(t, tx.Rollback(ctx))
			require.Error(t, pgxUsers{}.Insert(ctx, "3", "carol@example.org"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := store.Transaction(t.Context(), "alice", func(ctx context.Context) error {
				require.NoError(t, pgxUsers{}.Insert(ctx, name, name))
				tx, _ := pgxstore.Tx(ctx)
				end(ctx, tx)
				requireRows(t, db, 0, "users WHERE id = $1", name)
				return nil
			})
			if name == "rollback" {
				require.Error(t, err)
				requireRows(t, db, 0, "users WHERE id = $1", name)
				return
			}
			require.NoError(t, err)
			requireRows(t, db, 1, "users WHERE id = $1", name)
		})
	}
}
