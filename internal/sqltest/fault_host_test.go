package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A host is a service with tables of its own in the store's database. Its driver and its store can
// be made to fail.
type host struct {
	plan
	t        *testing.T
	database database
	clean    *sql.DB // has no faults; for setting up and reading tables
	db       *sql.DB
	driver   *faultyDriver
	store    *faultyStore
	pipeline *flowhook.Pipeline
	url      string
	client   *http.Client
	current  flowhook.Session // of the cookie that the requests have
	token    string           // in the cookie
	now      time.Time

	mu  sync.Mutex
	err error // the last one that the handler got
}

const (
	errorPage = "something is wrong here, please try again"
	redeemed  = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr" // alice's verification token
	landing   = "https://auth.example/welcome"
)

// hostTables are the host's own tables.
var hostTables = []string{
	"CREATE TABLE users (id varchar(64) PRIMARY KEY, email varchar(254) NOT NULL, " +
		"name varchar(64) NOT NULL, verified boolean NOT NULL)",
	"CREATE TABLE audit (id varchar(64) PRIMARY KEY, user_id varchar(64) NOT NULL)",
	"CREATE TABLE outbox (id varchar(64) PRIMARY KEY, recipient varchar(254) NOT NULL, link varchar(254) NOT NULL)",
}

func newHost(t *testing.T, d database, source string, clean *sql.DB, p plan) *host {
	h := &host{plan: p, t: t, database: d, clean: clean, now: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
	h.db, h.driver = d.faulty(t, source)
	s, err := sqlstore.New(h.db, d.dialect)
	require.NoError(t, err)
	h.store = &faultyStore{Store: s}
	h.pipeline = h.newPipeline()

	h.reset()
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	h.token, err = h.pipeline.Sessions().Create(t.Context(), x)
	require.NoError(t, err)
	h.current = *x.Session

	srv := httptest.NewServer(http.HandlerFunc(h.serve))
	h.url, h.client = srv.URL, srv.Client()
	h.client.Timeout = time.Minute
	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(srv.Close)
	return h
}

func (h *host) newPipeline() *flowhook.Pipeline {
	var cfg flowhook.Config
	for _, name := range h.order {
		var hook flowhook.Hook
		switch name {
		case audit:
			hook = flowhook.HookFunc(h.audit)
		case "redirect":
			hook = flowhook.Redirect(landing)
		}
		cfg.Add(flowhook.Point{Flow: h.flow, Phase: flowhook.After, Strategy: flowhook.Password}, name, hook)
	}
	pipeline, err := flowhook.New(&cfg, flowhook.Options{
		Store:           h.store,
		Courier:         h,
		Outbox:          true,
		Secrets:         []string{"a-secret-for-the-tests"},
		VerificationURL: "https://auth.example/verify",
		Now:             func() time.Time { return h.now },
		Logger:          slog.New(slog.DiscardHandler),
	})
	require.NoError(h.t, err)
	return pipeline
}

// serve is the host's handler. It recovers from panics.
func (h *host) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	h.driver.requestBegins(cancel)
	h.store.requestBegins(cancel)
	w.Header().Set("X-Host", "kept")
	x := &flowhook.Exchange{Writer: w, Request: r.WithContext(ctx)}
	var handled bool
	var err error
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the handler panicked: %v", v)
		}
		h.mu.Lock()
		h.err = err
		h.mu.Unlock()
		switch {
		case handled:
		case err != nil:
			http.Error(w, errorPage, http.StatusInternalServerError)
		default:
			io.WriteString(w, "done")
		}
	}()
	handled, err = h.answer(flowhook.NewContext(ctx, x), x)
}

// answer redeems a link, or looks up the identity and completes the flow.
func (h *host) answer(ctx context.Context, x *flowhook.Exchange) (handled bool, err error) {
	if h.redeem {
		return false, h.pipeline.Redeem(ctx, x.Request.FormValue("token"), h.verify)
	}
	if h.flow == flowhook.Settings || h.flow == flowhook.Logout {
		if x.Session, err = h.pipeline.Sessions().FromRequest(x.Request); err != nil {
			return false, err
		}
	}
	if h.flow != flowhook.Registration {
		if x.Identity, err = h.user(ctx, x.Request.FormValue("email")); err != nil {
			return false, err
		}
	}
	return h.pipeline.Complete(ctx, h.flow, flowhook.Password, func(ctx context.Context) error {
		x.Writer.Header().Set("X-Save", "staged")
		if h.flow == flowhook.Logout {
			return h.pipeline.Sessions().End(ctx, x)
		}
		if err := h.save(ctx, x); err != nil || !h.issues {
			return err
		}
		return h.pipeline.Sessions().Issue(ctx, x)
	})
}

// verify stores that an address is verified.
func (h *host) verify(ctx context.Context, v flowhook.Token) error {
	err := h.exec(ctx, "UPDATE users SET verified = true WHERE id = ? AND email = ?", v.IdentityID, v.Address.Value)
	if err != nil {
		return err // SQLite may have rolled back, and would commit the next statement by itself
	}
	return h.exec(ctx, "INSERT INTO audit (id, user_id) VALUES (?, ?)", newID(), v.IdentityID)
}

// save stores the user. At registration, it also sets the identity.
func (h *host) save(ctx context.Context, x *flowhook.Exchange) error {
	if h.flow != flowhook.Registration {
		return h.exec(ctx, "UPDATE users SET name = 'saved' WHERE id = ?", x.Identity.ID)
	}
	address := flowhook.Address{Via: "email", Value: "carol@example.org"}
	x.Identity = &flowhook.Identity{ID: "carol", Addresses: []flowhook.Address{address}}
	return h.exec(ctx, "INSERT INTO users (id, email, name, verified) "+
		"VALUES ('carol', 'carol@example.org', 'saved', false)")
}

// user reads a user, outside a transaction.
func (h *host) user(ctx context.Context, email string) (*flowhook.Identity, error) {
	id := &flowhook.Identity{Addresses: []flowhook.Address{{Via: "email", Value: email}}}
	query := h.database.bind("SELECT id, verified FROM users WHERE email = ?")
	err := h.db.QueryRowContext(ctx, query, email).Scan(&id.ID, &id.Addresses[0].Verified)
	return id, err
}

func (h *host) audit(ctx context.Context, x *flowhook.Exchange) error {
	err := h.exec(ctx, "INSERT INTO audit (id, user_id) VALUES (?, ?)", newID(), x.Identity.ID)
	if h.swallows {
		return nil
	}
	return err
}

// Send makes the host a courier whose outbox is a table.
func (h *host) Send(ctx context.Context, m flowhook.Message) error {
	return h.exec(ctx, "INSERT INTO outbox (id, recipient, link) VALUES (?, ?, ?)", newID(), m.To, m.Link)
}

// exec runs a statement of the host in the store's transaction.
func (h *host) exec(ctx context.Context, query string, args ...any) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("the context carries no transaction")
	}
	_, err := tx.ExecContext(sqlstore.TxContext(ctx), h.database.bind(query), args...)
	return err
}

// reset restores the contents that a request finds.
func (h *host) reset() {
	h.t.Helper()
	tx, err := h.clean.Begin()
	require.NoError(h.t, err)
	defer tx.Rollback()
	exec := func(query string, args ...any) {
		_, err := tx.Exec(h.database.bind(query), args...)
		require.NoError(h.t, err, query)
	}
	for _, table := range []string{"users", "audit", "outbox", "flowhook_sessions", "flowhook_verifications"} {
		exec("DELETE FROM " + table)
	}
	exec("INSERT INTO users (id, email, name, verified) VALUES " +
		"('alice', 'alice@example.org', 'as it was', false), ('bob', 'bob@example.org', 'bob', true)")
	if h.token != "" {
		issued, expires := h.now.Add(-time.Hour).UnixMicro(), h.now.Add(time.Hour).UnixMicro()
		exec("INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) VALUES "+
			"(?, 'alice', ?, ?, ?), ('old', 'alice', 1, 1, ?), ('bobs', 'bob', 1, 1, ?)",
			h.current.ID, issued, issued, expires, expires, expires)
		exec("INSERT INTO flowhook_verifications "+
			"(hash, recipient, identity_id, via, address, verified, issued_at, expires_at, used) VALUES "+
			"(?, ?, 'alice', 'email', 'alice@example.org', false, ?, ?, false), "+
			"(?, ?, 'bob', 'email', 'bob@example.org', false, ?, ?, false)",
			hashOf(redeemed), hashOf("to alice"), issued, expires, hashOf("bobs"), hashOf("to bob"), issued, expires)
	}
	require.NoError(h.t, tx.Commit())
}

func (h *host) lastError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}
