package flowhook_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// ledger is a store that writes down what becomes of its transactions.
type ledger struct {
	entries []string
	commit  error // what a commit that fails reports
}

type inLedger struct{}

func (l *ledger) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if ctx.Value(inLedger{}) != nil {
		l.entries = append(l.entries, "join "+id)
		return fn(ctx)
	}
	l.entries = append(l.entries, "begin "+id)
	end := "rollback"
	defer func() { l.entries = append(l.entries, end) }()
	err := fn(context.WithValue(ctx, inLedger{}, true))
	if err == nil {
		err = l.commit
	}
	if err == nil {
		end = "commit"
	}
	return err
}

// bench is an exchange at a pipeline whose hooks a test adds.
type bench struct {
	t      *testing.T
	store  *ledger
	log    *logbook
	rec    *httptest.ResponseRecorder
	x      *flowhook.Exchange
	ctx    context.Context
	cancel context.CancelFunc
	ran    []string // what ran, in order
	cfg    flowhook.Config
	opts   flowhook.Options
	made   *flowhook.Pipeline // by the first call of pipeline
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, store: &ledger{}, log: &logbook{}, rec: httptest.NewRecorder()}
	b.rec.Header().Set("X-Host", "kept")
	b.x = &flowhook.Exchange{Writer: b.rec, Request: newRequest(), Session: &flowhook.Session{ID: "in-use", IdentityID: "alice"},
		Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{{Via: "email", Value: "a@example.org"}, {Via: "email", Value: "b@example.org"}}}}
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	b.ctx = flowhook.NewContext(ctx, b.x)
	b.opts = flowhook.Options{Store: b.store, Logger: slog.New(slog.NewTextHandler(b.log, nil))}
	return b
}

type act = func(ctx context.Context, x *flowhook.Exchange) error

// add adds a hook that notes its name and does what act does.
func (b *bench) add(p flowhook.Point, name string, acts ...act) {
	b.cfg.Add(p, name, flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		b.ran = append(b.ran, name)
		for _, a := range acts {
			if err := a(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (b *bench) pipeline() *flowhook.Pipeline {
	b.t.Helper()
	if b.made == nil {
		p, err := flowhook.New(&b.cfg, b.opts)
		require.NoError(b.t, err)
		b.made = p
	}
	return b.made
}

func (b *bench) run(phase flowhook.Phase) (bool, error) {
	b.t.Helper()
	return b.pipeline().Run(b.ctx, flowhook.Login, phase, flowhook.Password)
}

func (b *bench) complete(save func(context.Context) error) (bool, error) {
	b.t.Helper()
	return b.pipeline().Complete(b.ctx, flowhook.Login, flowhook.Password, save)
}

// requireUntouched asserts that nothing of a run is left.
func (b *bench) requireUntouched() {
	b.t.Helper()
	require.Same(b.t, b.rec, b.x.Writer)
	require.Equal(b.t, http.Header{"X-Host": {"kept"}}, b.rec.Header())
	require.Empty(b.t, b.rec.Body.String())
	require.Equal(b.t, &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{{Via: "email", Value: "a@example.org"}, {Via: "email", Value: "b@example.org"}}}, b.x.Identity)
	require.Equal(b.t, &flowhook.Session{ID: "in-use", IdentityID: "alice"}, b.x.Session)
	require.NoError(b.t, b.x.Err)
	require.Equal(b.t, flowhook.Point{}, b.x.Point())
}

func at(flow flowhook.Flow, phase flowhook.Phase, strategy flowhook.Strategy) flowhook.Point {
	return flowhook.Point{Flow: flow, Phase: phase, Strategy: strategy}
}

var (
	loginBefore     = at(flowhook.Login, flowhook.Before, flowhook.FlowWide)
	loginGate       = at(flowhook.Login, flowhook.BeforePersist, flowhook.Password)
	loginAfter      = at(flowhook.Login, flowhook.After, flowhook.Password)
	loginWide       = at(flowhook.Login, flowhook.After, flowhook.FlowWide)
	loginFailed     = at(flowhook.Login, flowhook.Failed, flowhook.Password)
	errRefused      = errors.New("refused")
	refuse      act = func(context.Context, *flowhook.Exchange) error { return errRefused }
)

func answerWith(status int, body string) act {
	return func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Set("X-Hook", "was here")
		x.Writer.WriteHeader(status)
		_, err := io.WriteString(x.Writer, body)
		return err
	}
}

// meddle changes everything that a hook can reach.
func meddle(_ context.Context, x *flowhook.Exchange) error {
	x.Writer.Header().Set("X-Host", "changed")
	x.Writer.Header().Add("Set-Cookie", "a=b")
	x.Identity.ID = "mallory"
	x.Identity.Addresses[0] = flowhook.Address{Value: "changed"}
	x.Identity.Addresses = append(x.Identity.Addresses, flowhook.Address{Value: "added"})
	x.Identity = &flowhook.Identity{ID: "eve"}
	x.Session.IdentityID = "mallory"
	x.Session = nil
	x.Err = errors.New("changed")
	return nil
}
