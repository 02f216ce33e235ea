package flowhook_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

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
		{"by an answer of 400", func(*bench) act { return answerWith(http.StatusBadRequest, "no") }, nil, "status 400"},
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
	require.ErrorContains(t, err, "wrap the route in Middleware")
	_, err = p.Complete(flowhook.NewContext(t.Context(), nil), flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrNoExchange)
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
		err := <-errs
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.ErrorContains(t, err, "run inside a run, or on another goroutine")
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

// A hook that could not be made is reported, and is nothing to wrap.
func TestWrapSeesNoHookThatIsNone(t *testing.T) {
	opts := anything()
	opts.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		require.NotNil(t, next, name)
		return next
	}
	require.Len(t, problems(build("selfservice: {login: {before: [{hook: redirect, config: {to: //nowhere}}, {hook: audit}]}}", opts)), 1)
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
