package onpostgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/sqltest/pagehook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/flowhook/flowhook/store/storetest"
)

// start opens a new database as the page says, with what the service keeps in it itself.
func start(t *testing.T) *sql.DB {
	t.Helper()
	db, err := open(testkit.PostgreSQL(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.Exec("CREATE TABLE users (id text PRIMARY KEY, email text NOT NULL UNIQUE);" +
		"CREATE TABLE outbox (recipient text NOT NULL, subject text NOT NULL, body text NOT NULL)")
	require.NoError(t, err)
	return db
}

func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow("SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// requireAtOnce migrates as copies do that start at once.
func requireAtOnce(t *testing.T, migrate func() error) {
	t.Helper()
	errs := make(chan error)
	for range 4 {
		go func() { errs <- migrate() }()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
}

func TestCopiesMigrateAtOnce(t *testing.T) {
	db := start(t)
	requireAtOnce(t, func() error { return migrate(t.Context(), db) })
	require.Zero(t, count(t, db, "flowhook_sessions"))
	require.Zero(t, count(t, db, "pg_tables WHERE tablename = 'goose_db_version'"), "the host's versions are the host's")
}

func TestRegister(t *testing.T) {
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	cfg, err := flowhook.ParseConfig([]byte(`
secrets:
  session: [only-for-this-test-0123456789]
selfservice:
  flows:
    verification:
      ui_url: https://auth.example/verification
    registration:
      after:
        hooks:
          - hook: session
          - hook: verify
`))
	require.NoError(t, err)
	var failures []error // of the next attempts
	attempts := 0
	cfg.Add(flowhook.Point{Flow: flowhook.Registration, Phase: flowhook.After}, "failing", flowhook.HookFunc(
		func(context.Context, *flowhook.Exchange) error {
			attempts++
			if len(failures) == 0 {
				return nil
			}
			err := failures[0]
			failures = failures[1:]
			return err
		}))
	pipeline, _, err := newPipeline(cfg, db)
	require.NoError(t, err)
	try := func(email string) error {
		attempts = 0
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil)}
		handled, err := registerOrRetry(flowhook.NewContext(t.Context(), x), pipeline, x, email)
		require.False(t, handled)
		return err
	}
	requireRows := func(n int) {
		for _, table := range []string{"users", "outbox", "flowhook_sessions", "flowhook_verifications"} {
			require.Equal(t, n, count(t, db, table), table)
		}
	}
	conflict, other := fmt.Errorf("once more: %w", sqlstore.ErrConflict), errors.New("on purpose")

	require.NoError(t, try("alice@example.org"))
	require.Equal(t, 1, attempts)
	requireRows(1)

	failures = []error{conflict, conflict}
	require.NoError(t, try("bob@example.org"))
	require.Equal(t, 3, attempts)
	requireRows(2)

	failures = []error{conflict, conflict, conflict}
	require.ErrorIs(t, try("carol@example.org"), sqlstore.ErrConflict)
	failures = []error{other}
	require.ErrorIs(t, try("carol@example.org"), other)
	require.Equal(t, 1, attempts, "only a conflict is worth another try")
	requireRows(2)
}

// The hook of docs/hooks.md reads the identity that the page's registration sets.
func TestRegisterWithHookOfHooksPage(t *testing.T) {
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	cfg, err := flowhook.ParseConfig([]byte(`
secrets:
  session: [only-for-this-test-0123456789]
selfservice:
  registration:
    after:
      password:
        - hook: allow_domains
          phase: before_persist
          config: {domains: [example.org]}
        - hook: session
`))
	require.NoError(t, err)
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	pipeline, err := flowhook.New(cfg, flowhook.Options{
		Store: store, Hooks: map[string]flowhook.HookFactory{"allow_domains": pagehook.AllowDomains},
	})
	require.NoError(t, err)
	try := func(email string) (handled bool, status int) {
		w := httptest.NewRecorder()
		x := &flowhook.Exchange{Writer: w, Request: httptest.NewRequest("POST", "/", nil)}
		handled, err := register(flowhook.NewContext(t.Context(), x), pipeline, x, email)
		require.NoError(t, err)
		return handled, w.Code
	}

	handled, _ := try("alice@example.org")
	require.False(t, handled)
	handled, status := try("eve@elsewhere.example")
	require.True(t, handled)
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, 1, count(t, db, "users"))
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil)}
	_, err = pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrNoIdentity)
	require.Equal(t, 1, count(t, db, "flowhook_sessions JOIN users ON identity_id = users.id"))
}

// A transaction that the store did not open has no part in Complete, and cannot roll it back.
func TestCompleteCommitsInsideATransactionOfTheHosts(t *testing.T) {
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	cfg, err := flowhook.ParseConfig([]byte("secrets: {session: [only-for-this-test-0123456789]}\n" +
		"selfservice: {registration: {after: {password: [{hook: session}]}}}\n"))
	require.NoError(t, err)
	pipeline, _, err := newPipeline(cfg, db)
	require.NoError(t, err)

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.Exec("INSERT INTO users (id, email) VALUES ('alice', 'alice@example.org')")
	require.NoError(t, err)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil)}
	x.Identity = &flowhook.Identity{ID: "alice"}
	_, err = pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.Password, nil)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	require.Zero(t, count(t, db, "users"))
	require.Equal(t, 1, count(t, db, "flowhook_sessions"), "the session of a user who does not exist")
}

func TestDeleteUser(t *testing.T) {
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	now := time.Now()
	for _, id := range []string{"alice", "bob"} {
		_, err := db.Exec("INSERT INTO users (id, email) VALUES ($1, $1 || '@example.org')", id)
		require.NoError(t, err)
		require.NoError(t, store.CreateSession(t.Context(), flowhook.Session{
			ID: "session of " + id, IdentityID: id, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		}))
		created, err := store.CreateVerification(t.Context(), flowhook.VerificationToken{
			Hash: []byte(id), IdentityID: id, Address: flowhook.Address{Via: "email", Value: id + "@example.org"},
			IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		}, now.Add(-time.Minute))
		require.NoError(t, err)
		require.True(t, created)
	}
	requireRows := func(n int) {
		for _, table := range []string{"users", "flowhook_sessions", "flowhook_verifications"} {
			require.Equal(t, n, count(t, db, table), table)
		}
	}

	require.NoError(t, deleteUser(t.Context(), store, "alice"))
	requireRows(1)
	require.Equal(t, 1, count(t, db, "users WHERE id = 'bob'"))
	_, err = store.FindSession(t.Context(), "session of bob")
	require.NoError(t, err)
	_, err = store.ConsumeVerification(t.Context(), []byte("bob"), now)
	require.NoError(t, err)

	_, err = db.Exec("CREATE TABLE invoices (user_id text REFERENCES users); INSERT INTO invoices VALUES ('bob')")
	require.NoError(t, err)
	require.Error(t, deleteUser(t.Context(), store, "bob"))
	requireRows(1)
}

// newTokenStore opens a tokenStore with the table of tokens that the page describes.
func newTokenStore(t *testing.T) (tokenStore, *sql.DB) {
	t.Helper()
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	_, err := db.Exec("CREATE TABLE api_tokens (id text PRIMARY KEY, user_id text NOT NULL REFERENCES users ON DELETE CASCADE)")
	require.NoError(t, err)
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	return tokenStore{store}, db
}

func TestTokenStore(t *testing.T) {
	t.Run("is a store", func(t *testing.T) {
		store, _ := newTokenStore(t)
		storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return store, rand.Text })
	})

	for name, c := range map[string]struct {
		except string
		left   []string
		err    error
	}{
		"all are deleted":             {except: "", left: nil},
		"a session is spared":         {except: "session", left: []string{"session"}},
		"a token is spared":           {except: "token", left: []string{"token"}},
		"an unknown ID is an error":   {except: "neither", left: []string{"session", "token", "token 2"}, err: flowhook.ErrNotFound},
		"another's token is an error": {except: "bob's", left: []string{"session", "token", "token 2"}, err: flowhook.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			store, db := newTokenStore(t)
			_, err := db.Exec("INSERT INTO users (id, email) VALUES ('alice', 'alice@example.org'), ('bob', 'bob@example.org');" +
				"INSERT INTO api_tokens VALUES ('token', 'alice'), ('token 2', 'alice'), ('bob''s', 'bob')")
			require.NoError(t, err)
			require.NoError(t, store.CreateSession(t.Context(), flowhook.Session{
				ID: "session", IdentityID: "alice", ExpiresAt: time.Now().Add(time.Hour),
			}))

			require.ErrorIs(t, store.DeleteSessions(t.Context(), "alice", c.except), c.err)
			require.Equal(t, 1, count(t, db, "api_tokens WHERE user_id = 'bob'"))
			rows, err := db.Query("SELECT id FROM flowhook_sessions WHERE identity_id = 'alice' UNION " +
				"SELECT id FROM api_tokens WHERE user_id = 'alice' ORDER BY id")
			require.NoError(t, err)
			defer rows.Close()
			var left []string
			for rows.Next() {
				var id string
				require.NoError(t, rows.Scan(&id))
				left = append(left, id)
			}
			require.NoError(t, rows.Err())
			require.Equal(t, c.left, left)
		})
	}

	t.Run("a sign-in with a token of its own ends the others", func(t *testing.T) {
		store, db := newTokenStore(t)
		_, err := db.Exec("INSERT INTO users (id, email) VALUES ('alice', 'alice@example.org')")
		require.NoError(t, err)
		cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: [{hook: revoke_active_sessions}]}}"))
		require.NoError(t, err)
		pipeline, err := flowhook.New(cfg, flowhook.Options{Store: store})
		require.NoError(t, err)
		for _, id := range []string{"first", "second"} {
			x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
			_, err := pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password,
				func(ctx context.Context) error {
					tx, ok := sqlstore.Tx(ctx)
					require.True(t, ok)
					x.Session = &flowhook.Session{ID: id, IdentityID: "alice"}
					_, err := tx.ExecContext(ctx, "INSERT INTO api_tokens VALUES ($1, 'alice')", id)
					return err
				})
			require.NoError(t, err)
		}
		require.Equal(t, 1, count(t, db, "api_tokens"))
		require.Equal(t, 1, count(t, db, "api_tokens WHERE id = 'second'"))
	})
}

func TestCleanUp(t *testing.T) {
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	now := time.Now()
	for i := range 1001 { // more than a batch
		old := now.Add(-48 * time.Hour)
		require.NoError(t, store.CreateSession(t.Context(), flowhook.Session{ID: fmt.Sprint(i), IdentityID: "alice", IssuedAt: old, ExpiresAt: now.Add(-2 * time.Hour)}))
	}
	require.NoError(t, store.CreateSession(t.Context(), flowhook.Session{ID: "live", IdentityID: "alice", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); cleanUp(ctx, store, time.Hour) }()
	require.Eventually(t, func() bool { return count(t, db, "flowhook_sessions") == 1 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	<-done
	_, err = store.FindSession(t.Context(), "live")
	require.NoError(t, err)
}

// requireWorks writes in a transaction.
func requireWorks(t *testing.T, db *sql.DB, dialect sqlstore.Dialect) {
	t.Helper()
	store, err := sqlstore.New(db, dialect)
	require.NoError(t, err)
	require.NoError(t, store.Transaction(t.Context(), "alice", func(ctx context.Context) error {
		return store.CreateSession(ctx, flowhook.Session{ID: "one", IdentityID: "alice", ExpiresAt: time.Now().Add(time.Hour)})
	}))
	_, err = store.FindSession(t.Context(), "one")
	require.NoError(t, err)
}

func TestMariaDB(t *testing.T) {
	server, err := mysql.ParseDSN(testkit.MariaDB(t))
	require.NoError(t, err)
	config := mariaDBConfig(server.User, server.Passwd, server.Addr, server.DBName)
	db, err := openMariaDB(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var seconds int
	require.NoError(t, db.QueryRow("SELECT @@innodb_lock_wait_timeout").Scan(&seconds))
	require.Greater(t, config.ReadTimeout, time.Duration(seconds)*time.Second, "a wait for a lock would lose the connection")
	requireAtOnce(t, func() error { return migrateMariaDB(t.Context(), db) })
	requireWorks(t, db, sqlstore.MariaDB)
}

func TestSQLite(t *testing.T) {
	db, err := openSQLite(filepath.Join(t.TempDir(), "auth.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, migrateSQLite(t.Context(), db))
	require.NoError(t, migrateSQLite(t.Context(), db), "the second start")
	require.Zero(t, count(t, db, "sqlite_master WHERE name = 'goose_db_version'"), "the host's versions are the host's")
	requireWorks(t, db, sqlstore.SQLite)
}
