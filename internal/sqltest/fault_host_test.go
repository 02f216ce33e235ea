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
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// plan is what a host's handler does, and the hooks behind it.
type plan struct {
	flow     flowhook.Flow
	order    []string
	issues   bool // save issues the session
	redeem   bool // a link is redeemed, instead of a flow
	swallows bool // the host's own hook returns no error where its statement fails: an honest host would
}

func (p plan) String() string {
	s := string(p.flow) + ": " + strings.Join(p.order, " ")
	if p.issues {
		s += ", issuing in save"
	}
	if p.swallows {
		s += ", swallowing errors"
	}
	if p.redeem {
		s = "Redeem"
	}
	return s
}

func (p plan) has(hook string) bool { return slices.Contains(p.order, hook) }

// audit is the host's own hook: it writes a row of the host's.
const audit = "audit"

var plans = []plan{
	{flow: flowhook.Login, order: []string{"revoke_active_sessions", "session", audit}},
	{flow: flowhook.Login, order: []string{"session", "revoke_active_sessions", audit, "redirect"}},
	{flow: flowhook.Registration, order: []string{"session", "verify", audit}, swallows: true},
	{flow: flowhook.Registration, order: []string{"session", "verify", audit}},
	{flow: flowhook.Settings, order: []string{"revoke_active_sessions", "verify", audit}},
	{flow: flowhook.Recovery, order: []string{"session", audit, "revoke_active_sessions"}},
	{flow: flowhook.Verification, redeem: true},
	{flow: flowhook.Logout, order: []string{audit}},
	{flow: flowhook.Login, order: []string{"revoke_active_sessions", audit, "session"}, swallows: true},
	// What follows is left out where time is short.
	{flow: flowhook.Login, order: []string{audit, "verify", "revoke_active_sessions", "session"}},
	{flow: flowhook.Login, order: []string{"revoke_active_sessions", audit, "verify"}, issues: true},
	{flow: flowhook.Registration, order: []string{audit, "verify", "session", "redirect"}},
	{flow: flowhook.Settings, order: []string{audit, "revoke_active_sessions", "redirect"}},
	{flow: flowhook.Recovery, order: []string{audit, "revoke_active_sessions", "session", "redirect"}},
	{flow: flowhook.Verification, order: []string{"session", audit}},
}

// host is a service with tables of its own in the store's database, whose driver and store go wrong when they are told to.
type host struct {
	plan
	t        *testing.T
	database database
	clean    *sql.DB // for looking and for preparing: nothing goes wrong in it
	db       *sql.DB
	driver   *faultyDriver
	store    *faultyStore
	pipeline *flowhook.Pipeline
	url      string
	client   *http.Client
	came     flowhook.Session // what the requests' cookie stands for
	token    string           // in the cookie
	now      time.Time

	mu  sync.Mutex
	err error // what the handler got last
}

const (
	errorPage = "something is wrong here, please try again"
	redeemed  = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr" // alice's verification token
	landing   = "https://auth.example/welcome"
)

// hostTables are the host's own.
var hostTables = []string{
	"CREATE TABLE users (id varchar(64) PRIMARY KEY, email varchar(254) NOT NULL, name varchar(64) NOT NULL, verified boolean NOT NULL)",
	"CREATE TABLE audit (id varchar(64) PRIMARY KEY, user_id varchar(64) NOT NULL)",
	"CREATE TABLE outbox (id varchar(64) PRIMARY KEY, recipient varchar(254) NOT NULL, link varchar(254) NOT NULL)",
}

func newHost(t *testing.T, d database, source string, clean *sql.DB, p plan) *host {
	h := &host{plan: p, t: t, database: d, clean: clean, now: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
	var err error
	h.db, h.driver, err = d.faulty(source)
	require.NoError(t, err)
	t.Cleanup(func() { h.db.Close() })
	s, err := sqlstore.New(h.db, d.dialect)
	require.NoError(t, err)
	h.store = &faultyStore{Store: s}

	var cfg flowhook.Config
	for _, name := range p.order {
		var hook flowhook.Hook
		switch name {
		case audit:
			hook = flowhook.HookFunc(h.audit)
		case "redirect":
			hook = flowhook.Redirect(landing)
		}
		cfg.Add(flowhook.Point{Flow: p.flow, Phase: flowhook.After, Strategy: flowhook.Password}, name, hook)
	}
	h.pipeline, err = flowhook.New(&cfg, flowhook.Options{Store: h.store, Courier: h, Outbox: true, Secrets: []string{"a-secret-for-the-tests"},
		VerificationURL: "https://auth.example/verify", Now: func() time.Time { return h.now }, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)

	h.reset()
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	h.token, err = h.pipeline.Sessions().Create(t.Context(), x)
	require.NoError(t, err)
	h.came = *x.Session

	srv := httptest.NewServer(http.HandlerFunc(h.serve))
	h.url, h.client = srv.URL, srv.Client()
	h.client.Timeout = time.Minute
	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(srv.Close)
	return h
}

// serve is the host's handler, with its recovery.
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

// answer looks up who it is, and runs the flow.
func (h *host) answer(ctx context.Context, x *flowhook.Exchange) (handled bool, err error) {
	save := func(ctx context.Context) error {
		return h.exec(ctx, "UPDATE users SET name = 'saved' WHERE id = ?", x.Identity.ID)
	}
	switch h.flow {
	case flowhook.Registration:
		save = func(ctx context.Context) error {
			x.Identity = &flowhook.Identity{ID: "carol", Addresses: []flowhook.Address{{Via: "email", Value: "carol@example.org"}}}
			return h.exec(ctx, "INSERT INTO users (id, email, name, verified) VALUES ('carol', 'carol@example.org', 'saved', false)")
		}
	case flowhook.Settings, flowhook.Logout:
		if x.Session, err = h.pipeline.Sessions().FromRequest(x.Request); err != nil {
			return false, err
		}
	}
	if h.redeem {
		return false, h.pipeline.Redeem(ctx, x.Request.FormValue("token"), func(ctx context.Context, v flowhook.VerificationToken) error {
			if err := h.exec(ctx, "UPDATE users SET verified = true WHERE id = ? AND email = ?", v.IdentityID, v.Address.Value); err != nil {
				return err // and no statement behind it: SQLite may have rolled back, and would commit the next by itself
			}
			return h.exec(ctx, "INSERT INTO audit (id, user_id) VALUES (?, ?)", newID(), v.IdentityID)
		})
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
		if err := save(ctx); err != nil || !h.issues {
			return err
		}
		return h.pipeline.Sessions().Issue(ctx, x)
	})
}

// user reads one, before any transaction.
func (h *host) user(ctx context.Context, email string) (*flowhook.Identity, error) {
	id := &flowhook.Identity{Addresses: []flowhook.Address{{Via: "email", Value: email}}}
	err := h.db.QueryRowContext(ctx, h.database.bind("SELECT id, verified FROM users WHERE email = ?"), email).Scan(&id.ID, &id.Addresses[0].Verified)
	return id, err
}

func (h *host) audit(ctx context.Context, x *flowhook.Exchange) error {
	err := h.exec(ctx, "INSERT INTO audit (id, user_id) VALUES (?, ?)", newID(), x.Identity.ID)
	if h.swallows {
		return nil
	}
	return err
}

// Send is the host's courier: its outbox is a table.
func (h *host) Send(ctx context.Context, m flowhook.Message) error {
	return h.exec(ctx, "INSERT INTO outbox (id, recipient, link) VALUES (?, ?, ?)", newID(), m.To, m.Link)
}

// exec is a statement of the host's own in the transaction.
func (h *host) exec(ctx context.Context, query string, args ...any) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("the context carries no transaction")
	}
	_, err := tx.ExecContext(sqlstore.TxContext(ctx), h.database.bind(query), args...)
	return err
}

// bind numbers the placeholders where the database wants it.
func (d database) bind(query string) string {
	for n := 1; d.dialect == sqlstore.PostgreSQL && strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
	}
	return query
}

// answer is what a client got.
type answer struct {
	status   int
	body     string
	header   http.Header
	sessions []string // the values of the session cookie
}

// request sends a browser's request.
func (h *host) request() answer {
	h.t.Helper()
	form := url.Values{"email": {"alice@example.org"}, "token": {redeemed}}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url, strings.NewReader(form.Encode()))
	require.NoError(h.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", "__Host-session="+h.token)
	res, err := h.client.Do(r)
	require.NoError(h.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body) // fails where the answer is not whole
	require.NoError(h.t, err)
	a := answer{status: res.StatusCode, body: string(body), header: res.Header}
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			a.sessions = append(a.sessions, c.Value)
		}
	}
	return a
}

// reset makes the tables what they are before a request.
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
	exec("INSERT INTO users (id, email, name, verified) VALUES ('alice', 'alice@example.org', 'as it was', false), ('bob', 'bob@example.org', 'bob', true)")
	if h.token != "" {
		issued, expires := h.now.Add(-time.Hour).UnixMicro(), h.now.Add(time.Hour).UnixMicro()
		exec("INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) VALUES "+
			"(?, 'alice', ?, ?, ?), ('old', 'alice', 1, 1, ?), ('bobs', 'bob', 1, 1, ?)", h.came.ID, issued, issued, expires, expires, expires)
		exec("INSERT INTO flowhook_verifications (hash, recipient, identity_id, via, address, verified, issued_at, expires_at, used) VALUES "+
			"(?, ?, 'alice', 'email', 'alice@example.org', false, ?, ?, false), (?, ?, 'bob', 'email', 'bob@example.org', false, ?, ?, false)",
			hashOf(redeemed), hashOf("to alice"), issued, expires, hashOf("bobs"), hashOf("to bob"), issued, expires)
	}
	require.NoError(h.t, tx.Commit())
}

func (h *host) lastError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}
