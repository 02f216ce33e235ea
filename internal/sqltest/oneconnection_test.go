package sqltest

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// TestOneConnection: what the store keeps from one transaction to the next is had without a second connection, and in
// spite of a first transaction that came before the tables.
func TestOneConnection(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		ctx, id := testContext(t), rand.Text()
		db := d.connect(t, d.source(t))
		db.SetMaxOpenConns(1)
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		signIn := func() error {
			return s.Transaction(ctx, id, func(ctx context.Context) error {
				if err := s.DeleteSessions(ctx, id, ""); err != nil {
					return err
				}
				return s.CreateSession(ctx, newSession(id))
			})
		}
		require.Error(t, signIn(), "there are no tables")

		p, err := goose.NewProvider(goose.Dialect(d.dialect), db, d.dialect.Migrations())
		require.NoError(t, err)
		_, err = p.Up(ctx)
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, signIn())
		}
		left, err := s.ListSessions(ctx, id, newSession(id).IssuedAt, 10)
		require.NoError(t, err)
		require.Len(t, left, 1)
	})
}
