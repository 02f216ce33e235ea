package sqltest

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// newSQLStore returns a store that waits so long for the answer to a commit or rollback.
func newSQLStore(t testing.TB, db *sql.DB, d sqlstore.Dialect, answerTimeout time.Duration) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.NewWithOptions(db, d, sqlstore.Options{AnswerTimeout: answerTimeout})
	require.NoError(t, err)
	return s
}
