package onpostgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/sqltest/pagehook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// start opens a new database as docs/postgresql.md does, with the tables of the service.
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

// requireAtOnce asserts that four copies of the service can migrate at the same time.
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

func TestOpenPool(t *testing.T) {
	pool, store, err := openPool(t.Context(), testkit.PostgreSQL(t))
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, store.Verify(t.Context()))
	require.NoError(t, store.DeleteSessions(t.Context(), "nobody", ""), "the tables are there")
}

func TestMigrate_SeveralCopies(t *testing.T) {
	db := start(t)
	requireAtOnce(t, func() error { return migrate(t.Context(), db) })
	require.Zero(t, count(t, db, "flowhook_sessions"))
	require.Zero(t, count(t, db, "pg_tables WHERE tablename = 'goose_db_version'"),
		"the default table of goose is left to the host")
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
	var failures []error // errors of the hook in the next attempts
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
	require.Equal(t, 1, attempts, "only a conflict is retried")
	requireRows(2)
}

// The hook of docs/hooks.md reads the identity that register sets.
func TestRegister_HookOfHooksPage(t *testing.T) {
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
	try := func(email string) error {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil)}
		handled, err := register(flowhook.NewContext(t.Context(), x), pipeline, x, email)
		require.False(t, handled)
		return err
	}

	require.NoError(t, try("alice@example.org"))
	var refusal *flowhook.Refusal
	require.ErrorAs(t, try("eve@elsewhere.example"), &refusal)
	require.Equal(t, "wrong_domain", refusal.Code)
	require.Equal(t, 1, count(t, db, "users"))
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil)}
	_, err = pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrNoIdentity)
	require.Equal(t, 1, count(t, db, "flowhook_sessions JOIN users ON identity_id = users.id"))
}

// Complete does not join a transaction that the store did not open. Such a transaction cannot roll
// back what Complete has committed.
func TestComplete_InTransactionOfHost(t *testing.T) {
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
		created, err := store.CreateToken(t.Context(), flowhook.Token{
			Hash: []byte(id), Purpose: flowhook.PurposeVerification, IdentityID: id,
			Address:  flowhook.Address{Via: "email", Value: id + "@example.org"},
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
	_, err = store.ConsumeToken(t.Context(), flowhook.PurposeVerification, []byte("bob"), now)
	require.NoError(t, err)

	_, err = db.Exec("CREATE TABLE invoices (user_id text REFERENCES users); INSERT INTO invoices VALUES ('bob')")
	require.NoError(t, err)
	require.Error(t, deleteUser(t.Context(), store, "bob"))
	requireRows(1)
}

func TestCleanUp(t *testing.T) {
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	now := time.Now()
	create := func(id string, issued, expires time.Time) {
		require.NoError(t, store.CreateSession(t.Context(), flowhook.Session{
			ID: id, IdentityID: "alice", IssuedAt: issued, ExpiresAt: expires,
		}))
	}
	for i := range 1001 { // more than a batch
		create(fmt.Sprint(i), now.Add(-48*time.Hour), now.Add(-2*time.Hour))
	}
	create("live", now, now.Add(time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); cleanUp(ctx, store, time.Hour) }()
	require.Eventually(t, func() bool { return count(t, db, "flowhook_sessions") == 1 },
		10*time.Second, 10*time.Millisecond)
	cancel()
	<-done
	_, err = store.FindSession(t.Context(), "live")
	require.NoError(t, err)
}
