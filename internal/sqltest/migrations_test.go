package sqltest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// The migrations can be applied, reverted and applied again.
func TestMigrations(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.source(t))
		p := d.migrations(t, db)
		for range 2 {
			_, err := p.Up(testContext(t))
			require.NoError(t, err)
			s, err := sqlstore.New(db, d.dialect)
			require.NoError(t, err)
			requireOneSession(t, s)
			_, err = p.DownTo(testContext(t), 0)
			require.NoError(t, err)
		}
	})
}
