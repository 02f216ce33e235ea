package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// stallLimit is how long the store waits for an answer that never comes. A call that must return
// despite a stall may take stallPatience.
const (
	stallLimit    = 200 * time.Millisecond
	stallPatience = 5 * time.Second
)

// setLimit sets how long a store waits for the answer to a commit or rollback.
func setLimit(s *sqlstore.Store, limit time.Duration) {
	f := reflect.ValueOf(s).Elem().FieldByName("database").Elem().FieldByName("options").FieldByName("AnswerTimeout")
	*(*time.Duration)(f.Addr().UnsafePointer()) = limit
}

// A stalling store has a single connection, which goes through a proxy.
type stalling struct {
	t      *testing.T
	proxy  *proxy
	db     *sql.DB
	store  *sqlstore.Store
	direct *sqlstore.Store // the same database, without the proxy
}

func newStalling(t *testing.T, d database, parameters string) *stalling {
	source := d.migrated(t)
	direct, err := sqlstore.New(d.connect(t, source), d.dialect)
	require.NoError(t, err)
	h := &stalling{t: t, proxy: d.through(t, source), direct: direct}
	h.db = d.connect(t, h.proxy.source+parameters)
	h.db.SetMaxOpenConns(1)
	h.store, err = sqlstore.New(h.db, d.dialect)
	require.NoError(t, err)
	h.requireServes("before the stall")
	h.requireLockFree("before the stall")
	return h
}

// requireServes asserts that the pool has a working connection.
func (h *stalling) requireServes(when string) {
	h.t.Helper()
	setLimit(h.store, patience)
	err := h.returns(func() error { return signIn(h.t, h.store) })
	require.NoError(h.t, err, when)
	setLimit(h.store, stallLimit)
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
		h.proxy.cut() // without it, the pool would not close
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
func (h *stalling) complete(ctx context.Context, save func(ctx context.Context) error, hook func() error) func() error {
	h.t.Helper()
	var cfg flowhook.Config
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "host", flowhook.HookFunc(
		func(context.Context, *flowhook.Exchange) error { return hook() }))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{Store: h.store, Secrets: []string{"a-secret-for-the-tests"},
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

var verdicts = map[verdict]string{hold: "unread", holdAnswer: "unanswered"}

var errRefused = errors.New("refused on purpose")
