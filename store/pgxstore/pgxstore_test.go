package pgxstore_test

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/flowhook/flowhook/store/storetest"
)

// newPool returns a pool on a new database with the store's tables.
func newPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), testkit.PostgreSQL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, sqlstore.PostgreSQL.Migrations())
	require.NoError(t, err)
	_, err = provider.Up(context.Background())
	require.NoError(t, err)
	return pool
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]pgxstore.Options{"advisory locks": {}, "row locks": {RowLocks: true}} {
		t.Run(name, func(t *testing.T) {
			s, err := pgxstore.NewWithOptions(newPool(t), o)
			require.NoError(t, err)
			storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return s, rand.Text })
		})
	}
}
