package sqltest

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/flowhook/flowhook/store/storetest"
)

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return s, rand.Text })
	})
}

// Row locks take the place of advisory locks on servers that have none.
func TestConformance_RowLocks(t *testing.T) {
	db := postgreSQL.connect(t, postgreSQL.migrated(t))
	s, err := sqlstore.NewWithOptions(db, postgreSQL.dialect, sqlstore.Options{RowLocks: true})
	require.NoError(t, err)
	storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return s, rand.Text })
}
