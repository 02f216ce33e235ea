package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// stallLimit is how long the store waits for an answer that never comes. A call that must return
// despite a stall may take stallPatience.
const (
	stallLimit    = 200 * time.Millisecond
	stallPatience = 5 * time.Second
)

// A stalling store has a single connection, which goes through a proxy.
type stalling struct {
	t       *testing.T
	proxy   *proxy.Proxy
	db      *sql.DB
	store   *sqlstore.Store // waits for answers until stallLimit
	patient *sqlstore.Store // on the same pool, waits until patience
	direct  *sqlstore.Store // the same database, without the proxy
	source  string          // by way of the proxy
}

func newStalling(t *testing.T, d database, parameters string) *stalling {
	source := d.migrated(t)
	direct, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	h := &stalling{t: t, direct: direct}
	h.proxy, h.source = d.through(t, source)
	h.use(d.connect(t, h.source+parameters), d.dialect)
	h.requireServes("before the stall")
	h.requireLockFree("before the stall")
	return h
}

// use makes stores on a pool.
func (h *stalling) use(db *sql.DB, d sqlstore.Dialect) {
	db.SetMaxOpenConns(1)
	h.db = db
	h.store = newSQLStore(h.t, db, d, stallLimit)
	h.patient = newSQLStore(h.t, db, d, patience)
}

// requireServes asserts that the pool has a working connection.
func (h *stalling) requireServes(when string) {
	h.t.Helper()
	require.NoError(h.t, h.returns(func() error { return signIn(h.t, h.patient) }), when)
}

// requireLockFree asserts that no transaction holds the lock of the identity.
func (h *stalling) requireLockFree(when string) {
	h.t.Helper()
	err := h.returns(func() error {
		return h.direct.Transaction(testContext(h.t), "a", func(ctx context.Context) error { return nil })
	})
	require.NoError(h.t, err, when)
}

// returns asserts that do returns although the server stalls. It returns the error of do, or one
// for its panic.
func (h *stalling) returns(do func() error) error {
	h.t.Helper()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(stallPatience):
		h.proxy.Cut() // without it, the pool would not close
		h.t.Fatal("the call did not return")
		return nil
	}
}

// stored returns how many of the sessions are stored.
func (h *stalling) stored(sessions ...flowhook.Session) (n int) {
	h.t.Helper()
	for _, v := range sessions {
		switch _, err := h.direct.FindSession(testContext(h.t), v.ID); {
		case err == nil:
			n++
		default:
			require.ErrorIs(h.t, err, flowhook.ErrNotFound)
		}
	}
	return n
}

// complete returns a call of Complete with one hook.
func (h *stalling) complete(
	ctx context.Context, s *sqlstore.Store, save func(ctx context.Context) error, hook func() error,
) func() error {
	h.t.Helper()
	var cfg flowhook.Config
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "host", flowhook.HookFunc(
		func(context.Context, *flowhook.Exchange) error { return hook() }))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{Store: s, Secrets: []string{"a-secret-for-the-tests"},
		Logger: slog.New(slog.DiscardHandler)})
	require.NoError(h.t, err)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil),
		Identity: &flowhook.Identity{ID: "a"}}
	return func() error {
		_, err := pipeline.Complete(flowhook.NewContext(ctx, x), flowhook.Login, flowhook.Password, save)
		return err
	}
}

// lendings are the ways in which a host uses the transaction.
var lendings = map[string]func(ctx context.Context){
	"store's own":     func(context.Context) {},
	"lent":            func(ctx context.Context) { sqlstore.Tx(ctx) },
	"connection lent": func(ctx context.Context) { sqlstore.Tx(ctx); sqlstore.Conn(ctx) },
}

var stalls = map[proxy.Action]string{proxy.Hold: "unread", proxy.HoldAnswer: "unanswered"}

var errRefused = errors.New("refused on purpose")
