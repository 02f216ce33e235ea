package sqltest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/flowhook/flowhook/store/storetest"
)

// execMode is what docs/postgresql.md adds to the URL for a PgBouncer without prepared statements.
const execMode = "default_query_exec_mode=exec"

func TestPgBouncer(t *testing.T) {
	require.Equal(t, "transaction", bouncerConfig(t)["pool_mode"], "FLOWHOOK_PGBOUNCER is for tests of transaction mode")
	source := postgreSQL.migrated(t) // over a direct connection, because of goose's lock
	direct := postgreSQL.connect(t, source)
	s := pooledStore(t, source, execMode)

	t.Run("conformance", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return s, rand.Text })
	})
	t.Run("simultaneous logins leave one session", func(t *testing.T) {
		for range testkit.Times(t, 50) {
			requireOneSession(t, s)
		}
	})
	t.Run("an error rolls back", func(t *testing.T) {
		session, failed := newSession("a"), errors.New("failed")
		err := s.Transaction(testContext(t), session.IdentityID, func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, session))
			return failed
		})
		require.ErrorIs(t, err, failed)
		requireNone(t, s, session.ID)
	})
	t.Run("a statement that fails rolls back", func(t *testing.T) {
		session, again := newSession("a"), newSession("a")
		require.NoError(t, s.CreateSession(testContext(t), session))
		err := s.Transaction(testContext(t), session.IdentityID, func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, again))
			require.Error(t, s.CreateSession(ctx, session), "it is stored already")
			return nil
		})
		require.Error(t, err)
		requireNone(t, s, again.ID)
	})
	// PgBouncer ends a canceled transaction shortly after its client has gone.
	for what, query := range map[string]string{
		"a transaction is open": postgreSQL.openTransactions,
		"a lock is held": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' " +
			"AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
	} {
		waitUntil(t, func() string {
			if count(t, direct, query) == 0 {
				return ""
			}
			return what
		})
	}
}

// By default, pgx prepares statements and expects to find them again. PgBouncer keeps them since
// version 1.21, if max_prepared_statements is set.
func TestPgBouncer_PreparedStatements(t *testing.T) {
	source := postgreSQL.migrated(t)
	// The two stores have a client connection each, and PgBouncer takes the same one to the server for both.
	first, second := pooledStore(t, source, ""), pooledStore(t, source, "")
	require.NoError(t, signIn(t, first))
	err := signIn(t, second)

	if kept := bouncerConfig(t)["max_prepared_statements"]; kept == "" || kept == "0" {
		require.ErrorContains(t, err, "42P05", "a statement with this name has been prepared by the first")
		return
	}
	require.NoError(t, err)
	for range testkit.Times(t, 50) {
		requireOneSession(t, first)
	}
}

// pooledStore returns a store that uses the source through PgBouncer.
func pooledStore(t *testing.T, source, parameters string) *sqlstore.Store {
	t.Helper()
	u, err := url.Parse(testkit.PgBouncer(t, source))
	require.NoError(t, err)
	u.RawQuery = parameters
	s, err := sqlstore.New(postgreSQL.connect(t, u.String()), sqlstore.PostgreSQL)
	require.NoError(t, err)
	return s
}

// bouncerConfig returns the settings of PgBouncer by their names. Its console knows only the simple
// protocol.
func bouncerConfig(t *testing.T) map[string]string {
	t.Helper()
	conn, err := pgconn.Connect(testContext(t), testkit.PgBouncer(t, "/pgbouncer"))
	require.NoError(t, err)
	defer conn.Close(testContext(t))
	results, err := conn.Exec(testContext(t), "SHOW CONFIG").ReadAll()
	require.NoError(t, err)
	require.Len(t, results, 1)
	config := map[string]string{}
	for _, row := range results[0].Rows {
		config[string(row[0])] = string(row[1])
	}
	return config
}
