// This file has copies of the functions of docs/own-store.md.
package ownstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"net/http/httptest"
	"net/url"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/sqltest/ownstore"
	"github.com/flowhook/flowhook/internal/sqltest/pagehook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/storetest"
)

//go:embed schema.sql
var schema string

func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", testkit.PostgreSQL(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	_, err = db.Exec(schema)
	require.NoError(t, err)
	return db
}

func TestStore(t *testing.T) {
	store := &ownstore.Store{DB: open(t)} // a database of the test's own, with the tables
	storetest.Run(t, func(t *testing.T) (flowhook.Store, func() string) {
		newIdentity := func() string {
			id := rand.Text()
			if err := store.CreateUser(t.Context(), id, id+"@example.org"); err != nil {
				t.Fatal(err)
			}
			return id
		}
		return store, newIdentity
	})
}

func register(ctx context.Context, pipeline *flowhook.Pipeline, store *ownstore.Store, x *flowhook.Exchange, email string) (handled bool, err error) {
	x.Identity = &flowhook.Identity{ID: rand.Text(), Addresses: []flowhook.Address{{Via: "email", Value: email}}}
	return pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		return store.CreateUser(ctx, x.Identity.ID, email)
	})
}

func verify(ctx context.Context, pipeline *flowhook.Pipeline, store *ownstore.Store, token string) error {
	return pipeline.Redeem(ctx, token, store.VerifyEmail)
}

type mailbox []flowhook.Message

func (m *mailbox) Send(_ context.Context, message flowhook.Message) error {
	*m = append(*m, message)
	return nil
}

// The store of the page works for registration and verification, and rolls back if a hook fails.
func TestStore_RegisterAndVerify(t *testing.T) {
	store, mails, failing := &ownstore.Store{DB: open(t)}, &mailbox{}, false
	cfg, err := flowhook.ParseConfig([]byte(`
selfservice:
  registration:
    after:
      password:
        - hook: allow_domains
          phase: before_persist
          config: {domains: [example.org]}
`))
	require.NoError(t, err)
	registered := flowhook.Point{Flow: flowhook.Registration, Phase: flowhook.After}
	cfg.Add(registered, "session", nil)
	cfg.Add(registered, "verify", nil)
	errOnPurpose := errors.New("on purpose")
	cfg.Add(registered, "failing", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
		if failing {
			return errOnPurpose
		}
		return nil
	}))
	pipeline, err := flowhook.New(cfg, flowhook.Options{
		Store:           store,
		Courier:         mails,
		Secrets:         []string{"only-for-this-test-0123456789"},
		VerificationURL: "https://auth.example/verification",
		Hooks:           map[string]flowhook.HookFactory{"allow_domains": pagehook.AllowDomains},
	})
	require.NoError(t, err)
	registerNow := func(email string) error {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil)}
		handled, err := register(flowhook.NewContext(t.Context(), x), pipeline, store, x, email)
		require.False(t, handled)
		return err
	}
	rows := func(query string) (n int) {
		require.NoError(t, store.DB.QueryRow("SELECT count(*) FROM "+query).Scan(&n))
		return n
	}

	require.NoError(t, registerNow("alice@example.org"))
	require.Equal(t, 1, rows("sessions"))
	require.Len(t, *mails, 1)
	require.Zero(t, rows("users WHERE verified"))
	link, err := url.Parse((*mails)[0].Link)
	require.NoError(t, err)
	require.NoError(t, verify(t.Context(), pipeline, store, link.Query().Get("token")))
	require.Equal(t, 1, rows("users WHERE verified"))
	require.ErrorIs(t, verify(t.Context(), pipeline, store, link.Query().Get("token")), flowhook.ErrBadToken)

	require.Error(t, registerNow("alice@example.org"), "the address is taken")
	var refusal *flowhook.Refusal
	require.ErrorAs(t, registerNow("eve@elsewhere.example"), &refusal)
	require.Equal(t, "wrong_domain", refusal.Code, "the hook of docs/hooks.md has refused")
	failing = true
	require.ErrorIs(t, registerNow("bob@example.org"), errOnPurpose)
	require.Equal(t, 1, rows("users"))
	require.Equal(t, 1, rows("sessions"))
	require.Equal(t, 1, rows("tokens"))
	require.Len(t, *mails, 1)

	var id string
	require.NoError(t, store.DB.QueryRow("SELECT id FROM users").Scan(&id))
	require.NoError(t, store.DeleteUser(t.Context(), id))
	for _, table := range []string{"users", "sessions", "tokens"} {
		require.Zero(t, rows(table), table)
	}
	require.Error(t, store.CreateSession(t.Context(), flowhook.Session{ID: "late", IdentityID: id}), "the user is gone")
}
