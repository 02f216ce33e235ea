package flowhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

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
	p, err := flowhook.New(&b.cfg, b.opts)
	require.NoError(b.t, err)
	return p
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

func TestHooksRunInOrder(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"wide 1", "wide 2"} {
		b.add(loginWide, name)
	}
	for _, name := range []string{"own 1", "own 2"} {
		b.add(loginAfter, name)
	}
	b.add(at(flowhook.Login, flowhook.After, flowhook.OIDC), "another strategy's")
	b.add(at(flowhook.Settings, flowhook.After, flowhook.Password), "another flow's")
	handled, err := b.run(flowhook.After)
	require.NoError(t, err)
	require.False(t, handled)
	require.Equal(t, []string{"own 1", "own 2", "wide 1", "wide 2"}, b.ran)
	require.Equal(t, []string{"begin alice", "commit"}, b.store.entries)
}

func TestFirstAnswerEndsTheChain(t *testing.T) {
	for name, answer := range map[string]act{
		"by status": answerWith(http.StatusSeeOther, ""),
		"by body": func(_ context.Context, x *flowhook.Exchange) error {
			_, err := io.WriteString(x.Writer, "hello")
			return err
		},
		"by an empty one": func(_ context.Context, x *flowhook.Exchange) error { _, err := x.Writer.Write(nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.add(loginAfter, "first", func(_ context.Context, x *flowhook.Exchange) error {
				x.Writer.Header().Set("X-Only", "a header")
				return nil
			})
			b.add(loginAfter, "second", answer)
			b.add(loginWide, "third", refuse)
			p := b.pipeline()
			handled, err := p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
			require.NoError(t, err)
			require.True(t, handled)
			require.Equal(t, []string{"first", "second"}, b.ran)
			require.Equal(t, "a header", b.rec.Header().Get("X-Only"))
			require.Equal(t, "kept", b.rec.Header().Get("X-Host"))

			_, err = p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
			require.ErrorIs(t, err, flowhook.ErrAnswered)
			_, err = p.Complete(b.ctx, flowhook.Login, flowhook.Password, nil)
			require.ErrorIs(t, err, flowhook.ErrAnswered)
		})
	}
}

func TestHeadersLeaveAsADifference(t *testing.T) {
	b := newBench(t)
	b.rec.Header()["Set-Cookie"] = []string{"host=1"}
	b.rec.Header().Set("X-Gone", "soon")
	b.add(loginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Add("Set-Cookie", "hook=1")
		x.Writer.Header().Del("X-Gone")
		x.Writer.Header()["Date"] = nil
		b.rec.Header().Set("X-Meanwhile", "set by somebody who has the real writer")
		return nil
	})
	_, err := b.run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, http.Header{"X-Host": {"kept"}, "Set-Cookie": {"host=1", "hook=1"}, "Date": nil,
		"X-Meanwhile": {"set by somebody who has the real writer"}}, b.rec.Header())
}

func TestAFailedRunLeavesNothing(t *testing.T) {
	replace := func(_ context.Context, x *flowhook.Exchange) error { x.Writer = httptest.NewRecorder(); return nil }
	for _, row := range []struct {
		name string
		fail func(b *bench) act
		is   error
		says string
	}{
		{"by an error", func(*bench) act { return refuse }, errRefused, "refused"},
		{"by an error behind an answer", func(*bench) act {
			return func(ctx context.Context, x *flowhook.Exchange) error { answerWith(302, "x")(ctx, x); return errRefused }
		}, errRefused, "refused"},
		{"by a panic", func(*bench) act { return func(context.Context, *flowhook.Exchange) error { panic("oh no") } }, nil, "panic: oh no"},
		{"by a panic with an error", func(*bench) act { return func(context.Context, *flowhook.Exchange) error { panic(errRefused) } }, errRefused, "panic: refused"},
		{"by a nil dereference", func(*bench) act {
			return func(_ context.Context, x *flowhook.Exchange) error { var s *flowhook.Session; _ = s.ID; return nil }
		}, nil, "nil pointer"},
		{"by an answer of 403", func(*bench) act { return answerWith(http.StatusForbidden, "no") }, nil, "status 403"},
		{"by status 0", func(*bench) act { return answerWith(0, "") }, nil, "status 0"},
		{"by status 99", func(*bench) act { return answerWith(99, "") }, nil, "status 99"},
		{"by status 100", func(*bench) act { return answerWith(100, "") }, nil, "status 100"},
		{"by status 103", func(*bench) act { return answerWith(103, "") }, nil, "status 103"},
		{"by status 1000", func(*bench) act { return answerWith(1000, "") }, nil, "status 1000"},
		{"by two answers", func(*bench) act {
			return func(ctx context.Context, x *flowhook.Exchange) error {
				answerWith(302, "")(ctx, x)
				return answerWith(302, "")(ctx, x)
			}
		}, nil, "answered twice"},
		{"by a body over 1 MiB", func(*bench) act { return answerWith(200, strings.Repeat("x", 1<<20+1)) }, nil, "1048576"},
		{"by a body over 1 MiB in pieces, errors ignored", func(*bench) act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				for range 1<<10 + 1 {
					x.Writer.Write(bytes.Repeat([]byte("x"), 1<<10))
				}
				return nil
			}
		}, nil, "1048576"},
		{"by replacing the writer", func(*bench) act { return replace }, nil, "replaced"},
		{"by replacing the request", func(*bench) act {
			return func(_ context.Context, x *flowhook.Exchange) error { x.Request = newRequest(); return nil }
		}, nil, "replaced"},
		{"by a run inside the run", func(b *bench) act {
			return func(ctx context.Context, _ *flowhook.Exchange) error {
				_, err := b.pipeline().Run(ctx, flowhook.Settings, flowhook.After, flowhook.Profile)
				return err
			}
		}, flowhook.ErrNested, "settings/after/profile"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			request := b.x.Request
			b.add(loginAfter, "meddler", meddle)
			b.add(loginAfter, "culprit", row.fail(b))
			b.add(loginAfter, "later")
			for range 2 { // and again: nothing of the first try is left
				b.ran, b.store.entries = nil, nil
				handled, err := b.run(flowhook.After)
				require.False(t, handled)
				require.ErrorContains(t, err, row.says)
				if row.is != nil {
					require.ErrorIs(t, err, row.is)
				}
				var hookError *flowhook.HookError
				require.ErrorAs(t, err, &hookError)
				require.Equal(t, "culprit", hookError.Name)
				require.Equal(t, loginAfter, hookError.Point)
				require.Equal(t, []string{"meddler", "culprit"}, b.ran)
				require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
				b.requireUntouched()
				require.Same(t, request, b.x.Request)
			}
		})
	}
}

func TestCancellationIsLookedAtBetweenHooks(t *testing.T) {
	for _, last := range []bool{true, false} {
		b := newBench(t)
		b.add(loginAfter, "meddler", meddle)
		b.add(loginAfter, "cancels", func(context.Context, *flowhook.Exchange) error { b.cancel(); return nil })
		if !last {
			b.add(loginAfter, "next")
		}
		handled, err := b.run(flowhook.After)
		require.False(t, handled)
		require.Equal(t, context.Canceled, err)
		require.Equal(t, []string{"meddler", "cancels"}, b.ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
		b.requireUntouched()
	}
}

func TestAbortHandlerIsPanickedAgain(t *testing.T) {
	for _, complete := range []bool{false, true} {
		b := newBench(t)
		b.add(loginAfter, "meddler", meddle)
		b.add(loginAfter, "aborts", func(context.Context, *flowhook.Exchange) error { panic(http.ErrAbortHandler) })
		b.add(loginFailed, "failed")
		require.PanicsWithValue(t, http.ErrAbortHandler, func() {
			if complete {
				b.complete(nil)
			} else {
				b.run(flowhook.After)
			}
		})
		require.Equal(t, []string{"meddler", "aborts"}, b.ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
		b.requireUntouched()
	}
}

func TestGoexitRollsBack(t *testing.T) {
	for _, complete := range []bool{false, true} {
		b := newBench(t)
		b.add(loginAfter, "meddler", meddle)
		b.add(loginAfter, "exits", func(context.Context, *flowhook.Exchange) error { runtime.Goexit(); return nil })
		b.add(loginFailed, "failed")
		p := b.pipeline()
		returned, done := false, make(chan struct{})
		go func() {
			defer close(done)
			if complete {
				p.Complete(b.ctx, flowhook.Login, flowhook.Password, nil)
			} else {
				p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
			}
			returned = true
		}()
		<-done
		require.False(t, returned)
		require.Equal(t, []string{"meddler", "exits"}, b.ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
		b.requireUntouched()
	}
}

func TestRunRefuses(t *testing.T) {
	b := newBench(t)
	b.opts.Flows, b.opts.Strategies = []flowhook.Flow{"invitation"}, []flowhook.Strategy{"ldap"}
	p := b.pipeline()
	for _, point := range []flowhook.Point{at("logon", flowhook.After, flowhook.Password), at(flowhook.Login, "afterwards", flowhook.Password), at(flowhook.Login, flowhook.After, "pasword")} {
		_, err := p.Run(b.ctx, point.Flow, point.Phase, point.Strategy)
		require.ErrorIs(t, err, flowhook.ErrUnknownPoint)
		require.ErrorContains(t, err, point.String())
	}
	_, err := p.Complete(b.ctx, "logon", flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrUnknownPoint)
	_, err = p.Run(b.ctx, "invitation", flowhook.After, "ldap")
	require.NoError(t, err)
	require.Panics(t, func() { p.Middleware("logon") })

	_, err = p.Run(t.Context(), flowhook.Login, flowhook.After, flowhook.Password)
	require.ErrorIs(t, err, flowhook.ErrNoExchange)
	_, err = p.Complete(flowhook.NewContext(t.Context(), nil), flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrNoExchange)
	for _, x := range []*flowhook.Exchange{{Request: newRequest()}, {Writer: discard{}}} {
		_, err = p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.After, flowhook.Password)
		require.ErrorIs(t, err, flowhook.ErrNoExchange)
	}
}

func TestAPhaseCannotBeSkipped(t *testing.T) {
	gateWide := at(flowhook.Login, flowhook.BeforePersist, flowhook.FlowWide)
	type step struct {
		phase    flowhook.Phase
		strategy flowhook.Strategy
	}
	for _, row := range []struct {
		name    string
		hook    flowhook.Point
		ran     []step
		run     error
		through error // by Complete
	}{
		{"before forgotten", loginBefore, nil, flowhook.ErrPhaseSkipped, flowhook.ErrPhaseSkipped},
		{"before run", loginBefore, []step{{flowhook.Before, flowhook.FlowWide}}, nil, nil},
		{"before run by strategy", loginBefore, []step{{flowhook.Before, flowhook.OIDC}}, nil, nil},
		{"before_persist forgotten", loginGate, nil, flowhook.ErrPhaseSkipped, nil},
		{"before_persist run", loginGate, []step{{flowhook.BeforePersist, flowhook.Password}}, nil, nil},
		{"before_persist run for another strategy", loginGate, []step{{flowhook.BeforePersist, flowhook.OIDC}}, flowhook.ErrPhaseSkipped, nil},
		{"flow-wide before_persist forgotten", gateWide, nil, flowhook.ErrPhaseSkipped, nil},
		{"flow-wide before_persist run", gateWide, []step{{flowhook.BeforePersist, flowhook.Password}}, nil, nil},
		{"another strategy's before_persist", at(flowhook.Login, flowhook.BeforePersist, flowhook.OIDC), nil, nil, nil},
		{"another flow's before", at(flowhook.Registration, flowhook.Before, flowhook.FlowWide), nil, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, through := range []bool{false, true} {
				b := newBench(t)
				b.add(row.hook, "hook")
				p := b.pipeline()
				for _, s := range row.ran {
					_, err := p.Run(b.ctx, flowhook.Login, s.phase, s.strategy)
					require.NoError(t, err)
				}
				var err error
				want, saved := row.run, false
				if through {
					want = row.through
					_, err = p.Complete(b.ctx, flowhook.Login, flowhook.Password, func(context.Context) error { saved = true; return nil })
					require.Equal(t, want == nil, saved)
				} else {
					_, err = p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
				}
				require.ErrorIs(t, err, want)
			}
		})
	}
	t.Run("a before that failed has not run", func(t *testing.T) {
		b := newBench(t)
		b.add(loginBefore, "hook", refuse)
		p := b.pipeline()
		_, err := p.Run(b.ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.ErrorIs(t, err, errRefused)
		_, err = p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
	})
}

func TestANestedRunIsSeenFromAnyGoroutine(t *testing.T) {
	b := newBench(t)
	var p *flowhook.Pipeline
	b.add(loginAfter, "hook", func(ctx context.Context, x *flowhook.Exchange) error {
		errs := make(chan error, 1)
		go func() {
			_, err := p.Complete(ctx, flowhook.Settings, flowhook.Profile, nil)
			errs <- err
		}()
		require.ErrorIs(t, <-errs, flowhook.ErrNested)
		return nil
	})
	p = b.pipeline()
	_, err := p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
}

func TestPoint(t *testing.T) {
	b := newBench(t)
	var seen flowhook.Point
	b.add(loginWide, "wide", func(_ context.Context, x *flowhook.Exchange) error { seen = x.Point(); return nil })
	_, err := b.run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, loginAfter, seen)
	require.Equal(t, "login/after/password", seen.String())
	require.Equal(t, "login/after", loginWide.String())
	require.Equal(t, flowhook.Point{}, b.x.Point())
}

func TestComplete(t *testing.T) {
	save := func(b *bench) func(context.Context) error {
		return func(context.Context) error { b.ran = append(b.ran, "save"); return nil }
	}

	t.Run("gate, save and after, in this order, the last two in one transaction", func(t *testing.T) {
		b := newBench(t)
		b.add(loginGate, "gate", func(ctx context.Context, _ *flowhook.Exchange) error { require.Empty(t, b.store.entries); return nil })
		b.add(loginAfter, "after", func(ctx context.Context, _ *flowhook.Exchange) error {
			require.NotNil(t, ctx.Value(inLedger{}))
			return nil
		})
		b.add(loginFailed, "failed")
		handled, err := b.complete(func(ctx context.Context) error {
			require.NotNil(t, ctx.Value(inLedger{}))
			b.x.Writer.Header().Set("X-Save", "staged")
			require.Empty(t, b.rec.Header().Get("X-Save"))
			return save(b)(ctx)
		})
		require.NoError(t, err)
		require.False(t, handled)
		require.Equal(t, []string{"gate", "save", "after"}, b.ran)
		require.Equal(t, []string{"begin alice", "commit"}, b.store.entries)
		require.Equal(t, "staged", b.rec.Header().Get("X-Save"))
	})

	t.Run("a gate that answers ends it before anything is saved", func(t *testing.T) {
		b := newBench(t)
		b.add(loginGate, "gate", answerWith(http.StatusForbidden, "not you"))
		b.add(loginAfter, "after")
		b.add(loginFailed, "failed")
		handled, err := b.complete(save(b))
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"gate"}, b.ran)
		require.Empty(t, b.store.entries)
		require.Equal(t, http.StatusForbidden, b.rec.Code)
		require.Equal(t, "not you", b.rec.Body.String())
	})

	t.Run("an error of save comes back unchanged", func(t *testing.T) {
		b := newBench(t)
		b.add(loginAfter, "after")
		handled, err := b.complete(func(ctx context.Context) error {
			meddle(ctx, b.x)
			b.rec.Header().Set("X-Host", "changed behind the stage")
			return errRefused
		})
		require.False(t, handled)
		require.True(t, err == errRefused)
		require.Empty(t, b.ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
		b.requireUntouched()
	})

	t.Run("an identity that save sets is locked before the after hooks", func(t *testing.T) {
		b := newBench(t)
		b.x.Identity = nil
		b.add(loginAfter, "after", func(context.Context, *flowhook.Exchange) error {
			require.Equal(t, []string{"begin ", "join carol"}, b.store.entries)
			return nil
		})
		_, err := b.complete(func(context.Context) error { b.x.Identity = &flowhook.Identity{ID: "carol"}; return nil })
		require.NoError(t, err)
		require.Equal(t, []string{"after"}, b.ran)
		require.Equal(t, []string{"begin ", "join carol", "commit"}, b.store.entries)
	})

	t.Run("save does not answer", func(t *testing.T) {
		b := newBench(t)
		handled, err := b.complete(func(context.Context) error { http.Redirect(b.x.Writer, b.x.Request, "/", http.StatusFound); return nil })
		require.False(t, handled)
		require.ErrorContains(t, err, "save: it has answered")
		require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
		b.requireUntouched()
	})

	t.Run("a panic of save is the host's", func(t *testing.T) {
		b := newBench(t)
		b.add(loginFailed, "failed")
		require.PanicsWithValue(t, "the host's", func() {
			b.complete(func(ctx context.Context) error { meddle(ctx, b.x); panic("the host's") })
		})
		require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
		require.Empty(t, b.ran)
		b.requireUntouched()
	})

	t.Run("a commit that fails", func(t *testing.T) {
		b := newBench(t)
		b.store.commit = errRefused
		b.add(loginAfter, "after", meddle, answerWith(302, ""), func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { t.Error("not committed"); return nil })
			return nil
		})
		handled, err := b.complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, errRefused)
		b.requireUntouched()
	})

	t.Run("a request that has ended saves nothing", func(t *testing.T) {
		b := newBench(t)
		b.cancel()
		_, err := b.complete(save(b))
		require.Equal(t, context.Canceled, err)
		require.Empty(t, b.ran)
	})

	t.Run("works without a store", func(t *testing.T) {
		b := newBench(t)
		b.opts.Store = nil
		b.add(loginAfter, "after")
		_, err := b.complete(save(b))
		require.NoError(t, err)
		require.Equal(t, []string{"save", "after"}, b.ran)
	})
}

// wrongStore has a Transaction that breaks its contract.
type wrongStore func(ctx context.Context, fn func(context.Context) error) error

func (s wrongStore) Transaction(ctx context.Context, _ string, fn func(context.Context) error) error {
	return s(ctx, fn)
}

func TestAStoreThatBreaksItsContractIsNoSuccess(t *testing.T) {
	for _, row := range []struct {
		name  string
		store wrongStore
		fails bool // the hook
		says  string
	}{
		{"does not run fn", func(context.Context, func(context.Context) error) error { return nil }, false, "did not run"},
		{"runs fn twice", func(ctx context.Context, fn func(context.Context) error) error {
			fn(ctx)
			return fn(ctx)
		}, false, "twice"},
		{"forgets the error", func(ctx context.Context, fn func(context.Context) error) error { fn(ctx); return nil }, true, "refused"},
		{"returns another error", func(ctx context.Context, fn func(context.Context) error) error {
			fn(ctx)
			return errors.New("no rollback today")
		}, true, "refused"},
		{"cannot begin", func(context.Context, func(context.Context) error) error { return errDown }, false, "database is down"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.opts.Store = row.store
			b.add(loginAfter, "meddler", meddle)
			if row.fails {
				b.add(loginAfter, "refuses", refuse)
			}
			handled, err := b.run(flowhook.After)
			require.False(t, handled)
			require.ErrorContains(t, err, row.says)
			b.requireUntouched()
		})
	}
}

func TestFailedHooks(t *testing.T) {
	t.Run("run once an attempt, outside the transaction, with the cause", func(t *testing.T) {
		b := newBench(t)
		b.add(loginAfter, "after", refuse)
		b.add(loginFailed, "failed", func(ctx context.Context, x *flowhook.Exchange) error {
			require.ErrorIs(t, x.Err, errRefused)
			require.Equal(t, loginFailed, x.Point())
			require.Nil(t, ctx.Value(inLedger{}))
			require.Equal(t, []string{"begin alice", "rollback"}, b.store.entries)
			x.Writer.Header().Set("Retry-After", "10")
			return nil
		})
		handled, err := b.complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, errRefused)
		require.Equal(t, []string{"after", "failed"}, b.ran)
		b.requireUntouched() // the header too: the handler answers
	})

	t.Run("are not cancelled with the request, and end", func(t *testing.T) {
		b := newBench(t)
		b.cancel()
		b.add(loginFailed, "failed", func(ctx context.Context, x *flowhook.Exchange) error {
			require.NoError(t, ctx.Err())
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.WithinDuration(t, time.Now().Add(10*time.Second), deadline, time.Second)
			require.Equal(t, context.Canceled, x.Err)
			return nil
		})
		_, err := b.complete(nil)
		require.Equal(t, context.Canceled, err)
		require.Equal(t, []string{"failed"}, b.ran)
		b.ran = nil
		b.x.Err = context.Canceled
		_, err = b.run(flowhook.Failed)
		require.NoError(t, err)
		require.Equal(t, []string{"failed"}, b.ran)
	})

	t.Run("may answer, and the cause is logged", func(t *testing.T) {
		b := newBench(t)
		b.add(loginAfter, "after", refuse)
		b.add(loginFailed, "failed", answerWith(http.StatusTooManyRequests, "slow down"))
		handled, err := b.complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, http.StatusTooManyRequests, b.rec.Code)
		require.Contains(t, b.log.String(), "refused")
	})

	t.Run("that fail themselves are only logged", func(t *testing.T) {
		b := newBench(t)
		b.add(loginAfter, "after", refuse)
		b.add(loginFailed, "failed", answerWith(302, ""), meddle, func(context.Context, *flowhook.Exchange) error { panic("as well") })
		handled, err := b.complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, errRefused)
		require.NotContains(t, err.Error(), "as well")
		require.Contains(t, b.log.String(), "as well")
		b.requireUntouched()
	})

	t.Run("do not run where the handler is what is wrong", func(t *testing.T) {
		b := newBench(t)
		b.add(loginBefore, "before")
		b.add(loginFailed, "failed")
		_, err := b.complete(nil)
		require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
		require.Empty(t, b.ran)

		b = newBench(t)
		b.add(loginFailed, "failed")
		p := b.pipeline()
		_, err = p.Complete(b.ctx, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
			_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
			return err
		})
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.Empty(t, b.ran)
	})
}

func TestAfterCommit(t *testing.T) {
	t.Run("runs after the commit, before the response, whatever becomes of the request", func(t *testing.T) {
		b := newBench(t)
		var done []string
		b.add(loginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
			for _, name := range []string{"first", "second"} {
				x.AfterCommit(func(ctx context.Context) error {
					b.cancel()
					require.Equal(t, []string{"begin alice", "commit"}, b.store.entries)
					require.False(t, b.rec.Flushed)
					require.Empty(t, b.rec.Header().Get("X-Hook"))
					require.NoError(t, ctx.Err())
					deadline, ok := ctx.Deadline()
					require.True(t, ok)
					require.WithinDuration(t, time.Now().Add(10*time.Second), deadline, time.Second)
					require.Nil(t, ctx.Value(inLedger{}))
					got, _ := flowhook.FromContext(ctx)
					require.Same(t, x, got)
					done = append(done, name)
					return nil
				})
			}
			return nil
		}, answerWith(302, ""))
		handled, err := b.complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"first", "second"}, done)
		require.Equal(t, "was here", b.rec.Header().Get("X-Hook"))
	})

	t.Run("what goes wrong in it is logged, and the rest goes on", func(t *testing.T) {
		b := newBench(t)
		last := false
		b.add(loginAfter, "mailer", func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { return errRefused })
			x.AfterCommit(func(context.Context) error { panic("in the post") })
			x.AfterCommit(func(context.Context) error { runtime.Goexit(); return nil })
			x.AfterCommit(func(context.Context) error { panic(http.ErrAbortHandler) })
			x.AfterCommit(func(context.Context) error {
				if _, err := x.Writer.Write([]byte("too late")); err != nil {
					x.Writer.WriteHeader(500)
					x.Writer.Header().Set("X-Late", "1")
					x.AfterCommit(func(context.Context) error { last = true; return nil })
				}
				return nil
			})
			return nil
		}, answerWith(303, "body"))
		handled, err := b.complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.True(t, last)
		require.Equal(t, 303, b.rec.Code)
		require.Equal(t, "body", b.rec.Body.String())
		require.Empty(t, b.rec.Header().Get("X-Late"))
		for _, says := range []string{"refused", "in the post", "ended its goroutine", "abort Handler", "mailer", "pipeline_test.go:"} {
			require.Contains(t, b.log.String(), says)
		}
	})

	t.Run("of a gate waits for the commit, of a before for the run, of save too", func(t *testing.T) {
		b := newBench(t)
		leave := func(name string) act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				x.AfterCommit(func(context.Context) error { b.ran = append(b.ran, "later: "+name); return nil })
				return nil
			}
		}
		b.add(loginBefore, "before", leave("before"))
		b.add(loginGate, "gate", leave("gate"))
		p := b.pipeline()
		_, err := p.Run(b.ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.NoError(t, err)
		_, err = p.Complete(b.ctx, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
			b.ran = append(b.ran, "save")
			return leave("save")(ctx, b.x)
		})
		require.NoError(t, err)
		require.Equal(t, []string{"before", "later: before", "gate", "save", "later: gate", "later: save"}, b.ran)
	})

	t.Run("does not run when the run fails, and not at the next try", func(t *testing.T) {
		b := newBench(t)
		fail := true
		count := 0
		b.add(loginAfter, "mailer", func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { count++; return nil })
			if fail {
				return errRefused
			}
			return nil
		})
		p := b.pipeline()
		_, err := p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.Error(t, err)
		require.Zero(t, count)
		fail = false
		_, err = p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)
		require.Equal(t, 1, count)
	})

	t.Run("panics outside a run", func(t *testing.T) {
		require.Panics(t, func() { new(flowhook.Exchange).AfterCommit(func(context.Context) error { return nil }) })
	})
}

func TestAWriterThatWasKeptIsOfNoUse(t *testing.T) {
	b := newBench(t)
	var kept http.ResponseWriter
	var header http.Header
	b.add(loginBefore, "keeps", func(_ context.Context, x *flowhook.Exchange) error {
		kept, header = x.Writer, x.Writer.Header()
		return nil
	})
	b.add(loginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
		_, err := kept.Write([]byte("smuggled"))
		require.Error(t, err)
		kept.WriteHeader(http.StatusTeapot)
		kept.Header().Set("Set-Cookie", "smuggled=1")
		header.Set("Set-Cookie", "smuggled=2")
		return nil
	})
	p := b.pipeline()
	_, err := p.Run(b.ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	handled, err := p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.False(t, handled)
	b.requireUntouched()
}

func TestWrapStandsAroundEveryHook(t *testing.T) {
	b := newBench(t)
	var wrapped []string
	b.opts.Wrap = func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		wrapped = append(wrapped, p.String()+" "+name)
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			b.ran = append(b.ran, "around "+name)
			return next.Run(ctx, x)
		})
	}
	b.add(loginWide, "wide")
	b.add(loginAfter, "own")
	_, err := b.run(flowhook.After)
	require.NoError(t, err)
	slices.Sort(wrapped)
	require.Equal(t, []string{"login/after wide", "login/after/password own"}, wrapped)
	require.Equal(t, []string{"around own", "own", "around wide", "wide"}, b.ran)
}
