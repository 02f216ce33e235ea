package onpostgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/flowhook/flowhook/store/storetest"
)

// newTokenStore returns a tokenStore with the table of tokens that the page describes.
func newTokenStore(t *testing.T) (tokenStore, *sql.DB) {
	t.Helper()
	db := start(t)
	require.NoError(t, migrate(t.Context(), db))
	_, err := db.Exec("CREATE TABLE api_tokens " +
		"(id text PRIMARY KEY, user_id text NOT NULL REFERENCES users ON DELETE CASCADE)")
	require.NoError(t, err)
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	return tokenStore{store}, db
}

func TestTokenStore(t *testing.T) {
	store, _ := newTokenStore(t)
	storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return store, rand.Text })
}

func TestTokenStore_DeleteSessions(t *testing.T) {
	all := []string{"session", "token", "token 2"}
	for name, c := range map[string]struct {
		except string
		left   []string
		err    error
	}{
		"except none":                {except: "", left: nil},
		"except session":             {except: "session", left: []string{"session"}},
		"except token":               {except: "token", left: []string{"token"}},
		"except unknown ID":          {except: "neither", left: all, err: flowhook.ErrNotFound},
		"except token of other user": {except: "bob's", left: all, err: flowhook.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			store, db := newTokenStore(t)
			_, err := db.Exec("INSERT INTO users (id, email) VALUES " +
				"('alice', 'alice@example.org'), ('bob', 'bob@example.org');" +
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

}

// A login that issues a token of the service deletes the other tokens of the user.
func TestTokenStore_LoginWithToken(t *testing.T) {
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
}
