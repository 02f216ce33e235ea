package sqltest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/flowhook/flowhook/store/storetest"
)

// pooledStores are the stores that run on pgx.
var pooledStores = []struct {
	name string
	open func(t *testing.T, source string) store
}{
	{"sqlstore", func(t *testing.T, source string) store {
		s, err := sqlstore.New(postgreSQL.connect(t, source), sqlstore.PostgreSQL)
		require.NoError(t, err)
		return s
	}},
	{"pgxstore", func(t *testing.T, source string) store {
		config, err := pgxpool.ParseConfig(source)
		require.NoError(t, err)
		config.MaxConns = 40
		pool, err := pgxpool.NewWithConfig(testContext(t), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		s, err := pgxstore.New(pool)
		require.NoError(t, err)
		return s
	}},
}

func TestPgBouncer(t *testing.T) {
	require.Equal(t, "transaction", bouncerConfig(t)["pool_mode"], "FLOWHOOK_PGBOUNCER is for tests of transaction mode")
	for _, of := range pooledStores {
		t.Run(of.name, func(t *testing.T) {
			source := postgreSQL.migrated(t) // over a direct connection, because of goose's lock
			testPooled(t, source, of.open(t, throughPgBouncer(t, source, "default_query_exec_mode=exec")))
		})
	}
}

// By default, pgx prepares statements and expects to find them again. PgBouncer keeps them since
// version 1.21, if max_prepared_statements is not 0.
func TestPgBouncer_PreparedStatements(t *testing.T) {
	kept := bouncerConfig(t)["max_prepared_statements"]
	for _, of := range pooledStores {
		t.Run(of.name, func(t *testing.T) {
			source := postgreSQL.migrated(t)
			pooled := throughPgBouncer(t, source, "")
			if kept != "" && kept != "0" {
				testPooled(t, source, of.open(t, pooled))
				return
			}
			// Each store has a client connection. PgBouncer uses the same server connection for both.
			require.NoError(t, signIn(t, of.open(t, pooled)))
			require.ErrorContains(t, signIn(t, of.open(t, pooled)), "42P05", "the first has prepared this statement")
		})
	}
}

// testPooled tests a store that uses the source through PgBouncer.
func testPooled(t *testing.T, source string, s store) {
	direct := postgreSQL.connect(t, source)
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
	// PgBouncer ends a transaction shortly after its client has gone.
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

// throughPgBouncer returns the URL of the source's database through PgBouncer.
func throughPgBouncer(t *testing.T, source, parameters string) string {
	t.Helper()
	u, err := url.Parse(testkit.PgBouncer(t, source))
	require.NoError(t, err)
	u.RawQuery = parameters
	return u.String()
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
