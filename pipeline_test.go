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
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestHooksRunInOrder(t *testing.T) {
	b := flowtest.NewRunTest(t)
	for _, name := range []string{"wide 1", "wide 2"} {
		b.Add(flowtest.LoginWide, name)
	}
	for _, name := range []string{"own 1", "own 2"} {
		b.Add(flowtest.LoginAfter, name)
	}
	b.Add(flowtest.At(flowhook.Login, flowhook.After, flowhook.OIDC), "another strategy's")
	b.Add(flowtest.At(flowhook.Settings, flowhook.After, flowhook.Password), "another flow's")
	handled, err := b.Run(flowhook.After)
	require.NoError(t, err)
	require.False(t, handled)
	require.Equal(t, []string{"own 1", "own 2", "wide 1", "wide 2"}, b.Ran)
	require.Equal(t, []string{"begin alice", "commit"}, b.Store.Entries)
}

func TestFirstAnswerEndsTheChain(t *testing.T) {
	for name, answer := range map[string]flowtest.Act{
		"by status": flowtest.AnswerWith(http.StatusSeeOther, ""),
		"by body": func(_ context.Context, x *flowhook.Exchange) error {
			_, err := io.WriteString(x.Writer, "hello")
			return err
		},
		"by an empty one": func(_ context.Context, x *flowhook.Exchange) error { _, err := x.Writer.Write(nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Add(flowtest.LoginAfter, "first", func(_ context.Context, x *flowhook.Exchange) error {
				x.Writer.Header().Set("X-Only", "a header")
				return nil
			})
			b.Add(flowtest.LoginAfter, "second", answer)
			b.Add(flowtest.LoginWide, "third", flowtest.Refuse)
			p := b.Pipeline()
			handled, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
			require.NoError(t, err)
			require.True(t, handled)
			require.Equal(t, []string{"first", "second"}, b.Ran)
			require.Equal(t, "a header", b.Recorder.Header().Get("X-Only"))
			require.Equal(t, "kept", b.Recorder.Header().Get("X-Host"))

			_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
			require.ErrorIs(t, err, flowhook.ErrAnswered)
			_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
			require.ErrorIs(t, err, flowhook.ErrAnswered)
		})
	}
}

func TestHeadersLeaveAsADifference(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Recorder.Header()["Set-Cookie"] = []string{"host=1"}
	b.Recorder.Header().Set("X-Gone", "soon")
	b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Add("Set-Cookie", "hook=1")
		x.Writer.Header().Del("X-Gone")
		x.Writer.Header()["Date"] = nil
		b.Recorder.Header().Set("X-Meanwhile", "set by somebody who has the real writer")
		return nil
	})
	_, err := b.Run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, http.Header{"X-Host": {"kept"}, "Set-Cookie": {"host=1", "hook=1"}, "Date": nil,
		"X-Meanwhile": {"set by somebody who has the real writer"}}, b.Recorder.Header())
}

func TestAFailedRunLeavesNothing(t *testing.T) {
	replace := func(_ context.Context, x *flowhook.Exchange) error { x.Writer = httptest.NewRecorder(); return nil }
	for _, row := range []struct {
		name string
		fail func(b *flowtest.RunTest) flowtest.Act
		is   error
		says string
	}{
		{"by an error", func(*flowtest.RunTest) flowtest.Act { return flowtest.Refuse }, flowtest.ErrRefused, "refused"},
		{"by an error behind an answer", func(*flowtest.RunTest) flowtest.Act {
			return func(ctx context.Context, x *flowhook.Exchange) error {
				flowtest.AnswerWith(302, "x")(ctx, x)
				return flowtest.ErrRefused
			}
		}, flowtest.ErrRefused, "refused"},
		{"by a panic", func(*flowtest.RunTest) flowtest.Act {
			return func(context.Context, *flowhook.Exchange) error { panic("oh no") }
		}, nil, "panic: oh no"},
		{"by a panic with an error", func(*flowtest.RunTest) flowtest.Act {
			return func(context.Context, *flowhook.Exchange) error { panic(flowtest.ErrRefused) }
		}, flowtest.ErrRefused, "panic: refused"},
		{"by a nil dereference", func(*flowtest.RunTest) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error { var s *flowhook.Session; _ = s.ID; return nil }
		}, nil, "nil pointer"},
		{"by an answer of 400", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(http.StatusBadRequest, "no") }, nil, "status 400"},
		{"by an answer of 403", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(http.StatusForbidden, "no") }, nil, "status 403"},
		{"by status 0", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(0, "") }, nil, "status 0"},
		{"by status 99", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(99, "") }, nil, "status 99"},
		{"by status 100", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(100, "") }, nil, "status 100"},
		{"by status 103", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(103, "") }, nil, "status 103"},
		{"by status 1000", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(1000, "") }, nil, "status 1000"},
		{"by two answers", func(*flowtest.RunTest) flowtest.Act {
			return func(ctx context.Context, x *flowhook.Exchange) error {
				flowtest.AnswerWith(302, "")(ctx, x)
				return flowtest.AnswerWith(302, "")(ctx, x)
			}
		}, nil, "answered twice"},
		{"by a body over 1 MiB", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(200, strings.Repeat("x", 1<<20+1)) }, nil, "1048576"},
		{"by a body over 1 MiB in pieces, errors ignored", func(*flowtest.RunTest) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				for range 1<<10 + 1 {
					x.Writer.Write(bytes.Repeat([]byte("x"), 1<<10))
				}
				return nil
			}
		}, nil, "1048576"},
		{"by replacing the writer", func(*flowtest.RunTest) flowtest.Act { return replace }, nil, "replaced"},
		{"by replacing the request", func(*flowtest.RunTest) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error { x.Request = flowtest.NewRequest(); return nil }
		}, nil, "replaced"},
		{"by a run inside the run", func(b *flowtest.RunTest) flowtest.Act {
			return func(ctx context.Context, _ *flowhook.Exchange) error {
				_, err := b.Pipeline().Run(ctx, flowhook.Settings, flowhook.After, flowhook.Profile)
				return err
			}
		}, flowhook.ErrNested, "settings/after/profile"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			request := b.Exchange.Request
			b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
			b.Add(flowtest.LoginAfter, "culprit", row.fail(b))
			b.Add(flowtest.LoginAfter, "later")
			for range 2 { // and again: nothing of the first try is left
				b.Ran, b.Store.Entries = nil, nil
				handled, err := b.Run(flowhook.After)
				require.False(t, handled)
				require.ErrorContains(t, err, row.says)
				if row.is != nil {
					require.ErrorIs(t, err, row.is)
				}
				var hookError *flowhook.HookError
				require.ErrorAs(t, err, &hookError)
				require.Equal(t, "culprit", hookError.Name)
				require.Equal(t, flowtest.LoginAfter, hookError.Point)
				require.Equal(t, []string{"meddler", "culprit"}, b.Ran)
				require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
				b.RequireUntouched()
				require.Same(t, request, b.Exchange.Request)
			}
		})
	}
}

func TestCancellationIsLookedAtBetweenHooks(t *testing.T) {
	for _, last := range []bool{true, false} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
		b.Add(flowtest.LoginAfter, "cancels", func(context.Context, *flowhook.Exchange) error { b.Cancel(); return nil })
		if !last {
			b.Add(flowtest.LoginAfter, "next")
		}
		handled, err := b.Run(flowhook.After)
		require.False(t, handled)
		require.Equal(t, context.Canceled, err)
		require.Equal(t, []string{"meddler", "cancels"}, b.Ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	}
}

func TestAbortHandlerIsPanickedAgain(t *testing.T) {
	for _, complete := range []bool{false, true} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
		b.Add(flowtest.LoginAfter, "aborts", func(context.Context, *flowhook.Exchange) error { panic(http.ErrAbortHandler) })
		b.Add(flowtest.LoginFailed, "failed")
		require.PanicsWithValue(t, http.ErrAbortHandler, func() {
			if complete {
				b.Complete(nil)
			} else {
				b.Run(flowhook.After)
			}
		})
		require.Equal(t, []string{"meddler", "aborts"}, b.Ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	}
}

func TestGoexitRollsBack(t *testing.T) {
	for _, complete := range []bool{false, true} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
		b.Add(flowtest.LoginAfter, "exits", func(context.Context, *flowhook.Exchange) error { runtime.Goexit(); return nil })
		b.Add(flowtest.LoginFailed, "failed")
		p := b.Pipeline()
		returned, done := false, make(chan struct{})
		go func() {
			defer close(done)
			if complete {
				p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
			} else {
				p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
			}
			returned = true
		}()
		<-done
		require.False(t, returned)
		require.Equal(t, []string{"meddler", "exits"}, b.Ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	}
}

func TestRunRefuses(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Options.Flows, b.Options.Strategies = []flowhook.Flow{"invitation"}, []flowhook.Strategy{"ldap"}
	p := b.Pipeline()
	for _, point := range []flowhook.Point{flowtest.At("logon", flowhook.After, flowhook.Password), flowtest.At(flowhook.Login, "afterwards", flowhook.Password), flowtest.At(flowhook.Login, flowhook.After, "pasword")} {
		_, err := p.Run(b.Context, point.Flow, point.Phase, point.Strategy)
		require.ErrorIs(t, err, flowhook.ErrUnknownPoint)
		require.ErrorContains(t, err, point.String())
	}
	_, err := p.Complete(b.Context, "logon", flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrUnknownPoint)
	_, err = p.Run(b.Context, "invitation", flowhook.After, "ldap")
	require.NoError(t, err)
	require.Panics(t, func() { p.Middleware("logon") })

	_, err = p.Run(t.Context(), flowhook.Login, flowhook.After, flowhook.Password)
	require.ErrorIs(t, err, flowhook.ErrNoExchange)
	require.ErrorContains(t, err, "wrap the route in Middleware")
	_, err = p.Complete(flowhook.NewContext(t.Context(), nil), flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrNoExchange)
}

func TestAPhaseCannotBeSkipped(t *testing.T) {
	gateWide := flowtest.At(flowhook.Login, flowhook.BeforePersist, flowhook.FlowWide)
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
		{"before forgotten", flowtest.LoginBefore, nil, flowhook.ErrPhaseSkipped, flowhook.ErrPhaseSkipped},
		{"before run", flowtest.LoginBefore, []step{{flowhook.Before, flowhook.FlowWide}}, nil, nil},
		{"before run by strategy", flowtest.LoginBefore, []step{{flowhook.Before, flowhook.OIDC}}, nil, nil},
		{"before_persist forgotten", flowtest.LoginGate, nil, flowhook.ErrPhaseSkipped, nil},
		{"before_persist run", flowtest.LoginGate, []step{{flowhook.BeforePersist, flowhook.Password}}, nil, nil},
		{"before_persist run for another strategy", flowtest.LoginGate, []step{{flowhook.BeforePersist, flowhook.OIDC}}, flowhook.ErrPhaseSkipped, nil},
		{"flow-wide before_persist forgotten", gateWide, nil, flowhook.ErrPhaseSkipped, nil},
		{"flow-wide before_persist run", gateWide, []step{{flowhook.BeforePersist, flowhook.Password}}, nil, nil},
		{"another strategy's before_persist", flowtest.At(flowhook.Login, flowhook.BeforePersist, flowhook.OIDC), nil, nil, nil},
		{"another flow's before", flowtest.At(flowhook.Registration, flowhook.Before, flowhook.FlowWide), nil, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, through := range []bool{false, true} {
				b := flowtest.NewRunTest(t)
				b.Add(row.hook, "hook")
				p := b.Pipeline()
				for _, s := range row.ran {
					_, err := p.Run(b.Context, flowhook.Login, s.phase, s.strategy)
					require.NoError(t, err)
				}
				var err error
				want, saved := row.run, false
				if through {
					want = row.through
					_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, func(context.Context) error { saved = true; return nil })
					require.Equal(t, want == nil, saved)
				} else {
					_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
				}
				require.ErrorIs(t, err, want)
			}
		})
	}
	t.Run("a before that failed has not run", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginBefore, "hook", flowtest.Refuse)
		p := b.Pipeline()
		_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
		require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
	})
}

func TestANestedRunIsSeenFromAnyGoroutine(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var p *flowhook.Pipeline
	b.Add(flowtest.LoginAfter, "hook", func(ctx context.Context, x *flowhook.Exchange) error {
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
	p = b.Pipeline()
	_, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
}

func TestPoint(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var seen flowhook.Point
	b.Add(flowtest.LoginWide, "wide", func(_ context.Context, x *flowhook.Exchange) error { seen = x.Point(); return nil })
	_, err := b.Run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, flowtest.LoginAfter, seen)
	require.Equal(t, "login/after/password", seen.String())
	require.Equal(t, "login/after", flowtest.LoginWide.String())
	require.Equal(t, flowhook.Point{}, b.Exchange.Point())
}

func TestAWriterThatWasKeptIsOfNoUse(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var kept http.ResponseWriter
	var header http.Header
	b.Add(flowtest.LoginBefore, "keeps", func(_ context.Context, x *flowhook.Exchange) error {
		kept, header = x.Writer, x.Writer.Header()
		return nil
	})
	b.Add(flowtest.LoginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
		_, err := kept.Write([]byte("smuggled"))
		require.Error(t, err)
		kept.WriteHeader(http.StatusTeapot)
		kept.Header().Set("Set-Cookie", "smuggled=1")
		header.Set("Set-Cookie", "smuggled=2")
		return nil
	})
	p := b.Pipeline()
	_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	handled, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.False(t, handled)
	b.RequireUntouched()
}

// A hook that could not be made is reported, and is nothing to wrap.
func TestWrapSeesNoHookThatIsNone(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		require.NotNil(t, next, name)
		return next
	}
	require.Len(t, flowtest.Problems(flowtest.Build("selfservice: {login: {before: [{hook: redirect, config: {to: //nowhere}}, {hook: audit}]}}", opts)), 1)
}

func TestWrapStandsAroundEveryHook(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var wrapped []string
	b.Options.Wrap = func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		wrapped = append(wrapped, p.String()+" "+name)
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			b.Ran = append(b.Ran, "around "+name)
			return next.Run(ctx, x)
		})
	}
	b.Add(flowtest.LoginWide, "wide")
	b.Add(flowtest.LoginAfter, "own")
	_, err := b.Run(flowhook.After)
	require.NoError(t, err)
	slices.Sort(wrapped)
	require.Equal(t, []string{"login/after wide", "login/after/password own"}, wrapped)
	require.Equal(t, []string{"around own", "own", "around wide", "wide"}, b.Ran)
}
