package flowhook_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestRun_HookOrder(t *testing.T) {
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

func TestRun_FirstAnswerEndsChain(t *testing.T) {
	for name, answer := range map[string]flowtest.Act{
		"by status": flowtest.AnswerWith(http.StatusSeeOther, ""),
		"by body": func(_ context.Context, x *flowhook.Exchange) error {
			_, err := io.WriteString(x.Writer, "hello")
			return err
		},
		"by an empty body": func(_ context.Context, x *flowhook.Exchange) error {
			_, err := x.Writer.Write(nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Add(flowtest.LoginAfter, "first", func(_ context.Context, x *flowhook.Exchange) error {
				x.Writer.Header().Set("X-Only", "header")
				return nil
			})
			b.Add(flowtest.LoginAfter, "second", answer)
			b.Add(flowtest.LoginWide, "third", flowtest.Refuse)
			p := b.Pipeline()
			handled, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
			require.NoError(t, err)
			require.True(t, handled)
			require.Equal(t, []string{"first", "second"}, b.Ran)
			require.Equal(t, "header", b.Recorder.Header().Get("X-Only"))
			require.Equal(t, "kept", b.Recorder.Header().Get("X-Host"))

			_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
			require.ErrorIs(t, err, flowhook.ErrAnswered)
			_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
			require.ErrorIs(t, err, flowhook.ErrAnswered)
		})
	}
}

func TestRun_HeaderChangesAreMerged(t *testing.T) {
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

func TestRun_FailureLeavesNoTrace(t *testing.T) {
	replace := func(_ context.Context, x *flowhook.Exchange) error { x.Writer = httptest.NewRecorder(); return nil }
	for _, row := range []struct {
		name string
		fail func(b *flowtest.RunTest) flowtest.Act
		is   error
		says string
	}{
		{"by an error", func(*flowtest.RunTest) flowtest.Act { return flowtest.Refuse }, flowtest.ErrRefused,
			"refused"},
		{"by an error after an answer", func(*flowtest.RunTest) flowtest.Act {
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
		{"by status 100", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(100, "") }, nil,
			"status 100"},
		{"by status 103", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(103, "") }, nil,
			"status 103"},
		{"by status 1000", func(*flowtest.RunTest) flowtest.Act { return flowtest.AnswerWith(1000, "") }, nil,
			"status 1000"},
		{"by two answers", func(*flowtest.RunTest) flowtest.Act {
			return func(ctx context.Context, x *flowhook.Exchange) error {
				flowtest.AnswerWith(302, "")(ctx, x)
				return flowtest.AnswerWith(302, "")(ctx, x)
			}
		}, nil, "answered twice"},
		{"by a body over 1 MiB", func(*flowtest.RunTest) flowtest.Act {
			return flowtest.AnswerWith(200,
				strings.Repeat("x", 1<<20+1))
		}, nil, "1048576"},
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

func TestRun_CanceledBetweenHooks(t *testing.T) {
	for _, last := range []bool{true, false} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
		b.Add(flowtest.LoginAfter, "cancels", func(context.Context, *flowhook.Exchange) error {
			b.Cancel()
			return nil
		})
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

func TestRun_AbortHandlerPanicsAgain(t *testing.T) {
	for _, complete := range []bool{false, true} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
		b.Add(flowtest.LoginAfter, "aborts", func(context.Context, *flowhook.Exchange) error {
			panic(http.ErrAbortHandler)
		})
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

func TestRun_GoexitRollsBack(t *testing.T) {
	for _, complete := range []bool{false, true} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
		b.Add(flowtest.LoginAfter, "exits", func(context.Context, *flowhook.Exchange) error {
			runtime.Goexit()
			return nil
		})
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

func TestRun_InvalidCalls(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Options.Flows, b.Options.Strategies = []flowhook.Flow{"invitation"}, []flowhook.Strategy{"ldap"}
	p := b.Pipeline()
	for _, point := range []flowhook.Point{flowtest.At("logon", flowhook.After, flowhook.Password),
		flowtest.At(flowhook.Login, "afterwards", flowhook.Password),
		flowtest.At(flowhook.Login, flowhook.After, "pasword")} {
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

func TestRun_PhaseCannotBeSkipped(t *testing.T) {
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
		{"before_persist run for another strategy", flowtest.LoginGate,
			[]step{{flowhook.BeforePersist, flowhook.OIDC}}, flowhook.ErrPhaseSkipped, nil},
		{"flow-wide before_persist forgotten", gateWide, nil, flowhook.ErrPhaseSkipped, nil},
		{"flow-wide before_persist run", gateWide, []step{{flowhook.BeforePersist, flowhook.Password}}, nil, nil},
		{"another strategy's before_persist", flowtest.At(flowhook.Login, flowhook.BeforePersist, flowhook.OIDC), nil,
			nil, nil},
		{"another flow's before", flowtest.At(flowhook.Registration, flowhook.Before, flowhook.FlowWide), nil, nil,
			nil},
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
					_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password,
						func(context.Context) error { saved = true; return nil })
					require.Equal(t, want == nil, saved)
				} else {
					_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
				}
				require.ErrorIs(t, err, want)
			}
		})
	}
	t.Run("failed before does not count", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginBefore, "hook", flowtest.Refuse)
		p := b.Pipeline()
		_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
		require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
	})
}

func TestRun_NestedOnOtherGoroutine(t *testing.T) {
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

func TestPoint_String(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var seen flowhook.Point
	b.Add(flowtest.LoginWide, "wide", func(_ context.Context, x *flowhook.Exchange) error {
		seen = x.Point()
		return nil
	})
	_, err := b.Run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, flowtest.LoginAfter, seen)
	require.Equal(t, "login/after/password", seen.String())
	require.Equal(t, "login/after", flowtest.LoginWide.String())
	require.Equal(t, flowhook.Point{}, b.Exchange.Point())
}

func TestRun_KeptWriterFails(t *testing.T) {
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

// A hook that could not be made is reported and not wrapped.
func TestWrap_NilHook(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		require.NotNil(t, next, name)
		return next
	}
	require.Len(t, flowtest.Problems(flowtest.Build("selfservice: {login: {before: [{hook: redirect, config: {to: //nowhere}}, {hook: audit}]}}", opts)), 1)
}

func TestWrap_WrapsAllHooks(t *testing.T) {
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

func TestAnswered(t *testing.T) {
	require.False(t, new(flowhook.Exchange).Answered())

	// said is what Answered returns before and after each hook.
	watch := func(b *flowtest.RunTest) *[]string {
		said := new([]string)
		b.Options.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
			return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
				require.False(t, x.Answered(), "a hook ran after the answer")
				err := next.Run(ctx, x)
				if x.Answered() {
					name += " answered"
				}
				*said = append(*said, name)
				return err
			})
		}
		return said
	}
	header := func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Set("X-Hook", "1")
		return nil
	}

	t.Run("answer of a hook is visible during and after it", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		said := watch(b)
		later := false
		b.Add(flowtest.LoginGate, "header", header)
		b.Add(flowtest.LoginAfter, "leaves work", func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { later = x.Answered(); return nil })
			return nil
		})
		b.Add(flowtest.LoginAfter, "writes", func(_ context.Context, x *flowhook.Exchange) error {
			require.False(t, x.Answered())
			_, err := x.Writer.Write(nil)
			require.True(t, x.Answered(), "an empty body must count")
			return err
		})
		b.Add(flowtest.LoginAfter, "not reached")
		handled, err := b.Complete(func(context.Context) error { require.False(t, b.Exchange.Answered()); return nil })
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"header", "leaves work", "writes answered"}, *said)
		require.True(t, later)
		require.True(t, b.Exchange.Answered())
	})

	t.Run("undelivered answer does not count", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		said := watch(b)
		b.Add(flowtest.LoginAfter, "fails", flowtest.AnswerWith(302, ""), flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "looks")
		_, err := b.Complete(nil)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.Equal(t, []string{"fails answered", "looks"}, *said, "failed hooks must be a run of their own")
		require.False(t, b.Exchange.Answered())
	})

	t.Run("answer of a failed run does not count", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "fails", flowtest.AnswerWith(302, ""), flowtest.Refuse)
		_, err := b.Run(flowhook.After)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.False(t, b.Exchange.Answered())
	})

	t.Run("headers and invalid statuses do not count", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		said := watch(b)
		b.Add(flowtest.LoginAfter, "header", header)
		b.Add(flowtest.LoginAfter, "misuse", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(100)
			return nil
		})
		_, err := b.Run(flowhook.After)
		require.Error(t, err)
		require.Equal(t, []string{"header", "misuse"}, *said)
		require.False(t, b.Exchange.Answered())
	})

	t.Run("answer of a failed hook counts", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		said := watch(b)
		b.Add(flowtest.LoginAfter, "refuses", flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "slows down", flowtest.AnswerWith(429, ""))
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"refuses", "slows down answered"}, *said)
		require.True(t, b.Exchange.Answered())
	})
}

func TestFailed(t *testing.T) {
	t.Run("hooks run once per attempt, outside the transaction, with the cause", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "failed", func(ctx context.Context, x *flowhook.Exchange) error {
			require.ErrorIs(t, x.Err, flowtest.ErrRefused)
			require.Equal(t, flowtest.LoginFailed, x.Point())
			require.Nil(t, ctx.Value(flowtest.InTransactionKey{}))
			require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
			x.Writer.Header().Set("Retry-After", "10")
			return nil
		})
		handled, err := b.Complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.Equal(t, []string{"after", "failed"}, b.Ran)
		b.RequireUntouched() // the header too: the handler answers
	})

	t.Run("hooks are not canceled with the request but end", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Cancel()
		b.Add(flowtest.LoginFailed, "failed", func(ctx context.Context, x *flowhook.Exchange) error {
			require.NoError(t, ctx.Err())
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.WithinDuration(t, time.Now().Add(10*time.Second), deadline, time.Second)
			require.Equal(t, context.Canceled, x.Err)
			return nil
		})
		_, err := b.Complete(nil)
		require.Equal(t, context.Canceled, err)
		require.Equal(t, []string{"failed"}, b.Ran)
		b.Ran = nil
		b.Exchange.Err = context.Canceled
		_, err = b.Run(flowhook.Failed)
		require.NoError(t, err)
		require.Equal(t, []string{"failed"}, b.Ran)
	})

	t.Run("hook answers and the cause is logged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "failed", flowtest.AnswerWith(http.StatusTooManyRequests, "slow down"))
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, http.StatusTooManyRequests, b.Recorder.Code)
		require.Contains(t, b.Log.String(), "refused")
	})

	t.Run("hooks do not run after an answer at before_persist", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginGate, "gate", flowtest.AnswerWith(http.StatusForbidden, "not today"))
		b.Add(flowtest.LoginFailed, "failed")
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, http.StatusForbidden, b.Recorder.Code)
		require.Equal(t, []string{"gate"}, b.Ran)
	})

	t.Run("failing hook is logged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "failed", flowtest.AnswerWith(302, ""), flowtest.Meddle,
			func(context.Context, *flowhook.Exchange) error { panic("as well") })
		handled, err := b.Complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.NotContains(t, err.Error(), "as well")
		require.Contains(t, b.Log.String(), "as well")
		b.RequireUntouched()
	})

	t.Run("hooks do not run if Complete rejects the call", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginBefore, "before")
		b.Add(flowtest.LoginFailed, "failed")
		_, err := b.Complete(nil)
		require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
		require.Empty(t, b.Ran)

	})

	t.Run("hooks run for every error of save", func(t *testing.T) {
		for _, wrong := range []error{flowhook.ErrAnswered, flowhook.ErrOtherPipeline, flowhook.ErrNested,
			flowhook.ErrPhaseSkipped, flowhook.ErrUnknownPoint} {
			b := flowtest.NewRunTest(t)
			b.Add(flowtest.LoginFailed, "failed")
			_, err := b.Complete(func(context.Context) error { return fmt.Errorf("save: %w", wrong) })
			require.ErrorIs(t, err, wrong)
			require.Equal(t, []string{"failed"}, b.Ran)
		}
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginFailed, "failed")
		p := b.Pipeline()
		_, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
			_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
			return err
		})
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.Equal(t, []string{"failed"}, b.Ran)
	})
}

func TestMustFromContext(t *testing.T) {
	const forgotten = "flowhook: no exchange in the context; wrap the route in Middleware"

	t.Run("missing exchange panics", func(t *testing.T) {
		require.PanicsWithValue(t, forgotten, func() { flowhook.MustFromContext(t.Context()) })
	})

	t.Run("nil exchange panics", func(t *testing.T) {
		ctx := flowhook.NewContext(t.Context(), nil)
		require.PanicsWithValue(t, forgotten, func() { flowhook.MustFromContext(ctx) })
	})

	t.Run("exchange of NewContext is returned", func(t *testing.T) {
		x := &flowhook.Exchange{}
		require.Same(t, x, flowhook.MustFromContext(flowhook.NewContext(t.Context(), x)))
	})

	t.Run("exchange of Middleware is returned", func(t *testing.T) {
		pipeline, err := flowhook.New(nil, flowhook.Options{})
		require.NoError(t, err)
		var want, got *flowhook.Exchange
		handler := pipeline.Middleware(flowhook.Login)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			want, _ = flowhook.FromContext(r.Context())
			got = flowhook.MustFromContext(r.Context())
		}))
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil))
		require.NotNil(t, got)
		require.Same(t, want, got)
	})
}

func TestRun_HookAppendsToAddresses(t *testing.T) {
	for _, fails := range []bool{true, false} {
		b := flowtest.NewRunTest(t)
		array := [3]flowhook.Address{{Value: "a@example.org"}, {Value: "b@example.org"}, {Value: "the host's"}}
		b.Exchange.Identity.Addresses = array[:2]
		b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
			x.Identity.Addresses = append(x.Identity.Addresses, flowhook.Address{Value: "added"})
			if fails {
				return flowtest.ErrRefused
			}
			return nil
		})
		_, err := b.Run(flowhook.After)
		require.Equal(t, fails, err != nil)
		require.Equal(t, "the host's", array[2].Value)
		require.Len(t, b.Exchange.Identity.Addresses, map[bool]int{true: 2, false: 3}[fails])
	}
}

func TestFailed_AnswerCounts(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
	b.Add(flowtest.LoginFailed, "failed", flowtest.AnswerWith(http.StatusTooManyRequests, "slow down"))
	p := b.Pipeline()
	handled, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.True(t, handled)
	_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrAnswered)
}

// A hostileError panics when errors.Is or errors.As inspects it, and when it is printed.
type hostileError struct{}

func (hostileError) Error() string                { panic("printed") }
func (hostileError) Is(error) bool                { panic("inspected") }
func (hostileError) As(any) bool                  { panic("inspected") }
func (hostileError) Unwrap() []error              { panic("unwrapped") }
func (hostileError) Timeout() bool                { panic("asked") }
func (hostileError) MarshalText() ([]byte, error) { panic("marshaled") }

// uninspectable are errors that the standard library's functions panic on.
func uninspectable() map[string]error {
	return map[string]error{"nil_url_error": (*url.Error)(nil), "hostile_error": hostileError{}}
}

func TestMiddleware_UninspectableError(t *testing.T) {
	for name, bad := range uninspectable() {
		t.Run(name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Add(flowtest.LoginBefore, "culprit", func(context.Context, *flowhook.Exchange) error { return bad })
			srv := httptest.NewServer(b.Pipeline().Middleware(flowhook.Login)(http.NotFoundHandler()))
			defer srv.Close()
			res, err := http.Get(srv.URL)
			require.NoError(t, err, "the client gets an answer")
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusInternalServerError, res.StatusCode)
			require.Equal(t, "Internal Server Error\n", string(body))
			require.Contains(t, b.Log.String(), "hook culprit")
		})
	}
}

func TestComplete_UninspectableError(t *testing.T) {
	for name, bad := range uninspectable() {
		for _, row := range []struct {
			where string
			want  []string
			set   func(b *flowtest.RunTest) (save func(context.Context) error)
		}{
			{"hook", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", func(context.Context, *flowhook.Exchange) error { return bad })
				return nil
			}},
			{"gate", []string{"gate", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginGate, "gate", func(context.Context, *flowhook.Exchange) error { return bad })
				return nil
			}},
			{"save", []string{"failed"}, func(*flowtest.RunTest) func(context.Context) error {
				return func(context.Context) error { return bad }
			}},
			{"panic", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", func(context.Context, *flowhook.Exchange) error { panic(bad) })
				return nil
			}},
			{"commit", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Store.CommitErr = bad
				b.Add(flowtest.LoginAfter, "after")
				return nil
			}},
			{"after_commit", []string{"after"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
					x.AfterCommit(func(context.Context) error { return bad })
					return nil
				})
				return nil
			}},
			{"failed", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
				b.Add(flowtest.LoginFailed, "failed", func(context.Context, *flowhook.Exchange) error { return bad })
				return nil
			}},
		} {
			t.Run(name+"/"+row.where, func(t *testing.T) {
				b := flowtest.NewRunTest(t)
				save := row.set(b)
				if row.where != "failed" {
					b.Add(flowtest.LoginFailed, "failed")
				}
				_, err := b.Complete(save)
				require.Equal(t, row.where != "after_commit", err != nil)
				require.Equal(t, row.want, b.Ran)
				b.RequireUntouched()
			})
		}
	}
}

// badBody is the body of a request whose reader fails with err.
type badBody struct{ err error }

func (b badBody) Read([]byte) (int, error) { return 0, b.err }
func (badBody) Close() error               { return nil }

func TestReturnURL_UninspectableBodyError(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	for name, bad := range uninspectable() {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/login", badBody{bad})
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			_, err := p.ReturnURL(r, flowhook.Login, flowhook.FlowWide)
			require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
		})
	}
}

// A store whose errors cannot be inspected fails the call but does not crash the request.
func TestSessions_UninspectableStoreError(t *testing.T) {
	for name, bad := range uninspectable() {
		t.Run(name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, sessionHookYAML)
			cookie, _ := d.SignIn("alice")
			d.Store.Fail["FindSession"], d.Store.Fail["ConsumeToken"] = bad, bad
			require.NotPanics(t, func() {
				_, err := d.FromRequest(flowtest.NewVisitor("", cookie).Request)
				require.NotNil(t, err)
				require.False(t, isNoSession(err))
			})
			require.NotPanics(t, func() {
				err := d.Pipeline.Redeem(t.Context(), "0123456789012345678901234567890123456789012",
					func(context.Context, flowhook.Token) error { return nil })
				require.NotNil(t, err)
			})
		})
	}
}

// isNoSession reports whether err is ErrNoSession itself; errors.Is could panic.
func isNoSession(err error) bool { return err == flowhook.ErrNoSession }

// A request allocates the exchange with its context, the copy of the request that carries them, the
// closure of the transaction, and a copy of the identity's addresses.
func TestComplete_Allocations(t *testing.T) {
	const runs = 100
	for _, row := range []struct {
		name       string
		addresses  []flowhook.Address
		hooks, max int
	}{
		{"three_hooks", []flowhook.Address{{Via: "email", Value: "alice@example.com"}}, 3, 4},
		{"three_hooks_without_addresses", nil, 3, 3},
		{"no_hooks", nil, 0, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, ran := new(flowhook.Config), 0
			for range row.hooks {
				cfg.Add(flowtest.LoginAfter, "counts",
					flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil }))
			}
			p, err := flowhook.New(cfg, flowhook.Options{})
			require.NoError(t, err)
			identity := &flowhook.Identity{ID: "alice"}
			handler := p.Middleware(flowhook.Login)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				identity.Addresses = row.addresses
				flowhook.MustFromContext(r.Context()).Identity = identity
				if handled, err := p.Complete(r.Context(), flowhook.Login, flowhook.Password, nil); handled ||
					err != nil {
					t.Fatal(handled, err)
				}
			}))
			w, r := httptest.NewRecorder(), flowtest.NewRequest()
			allocated := testing.AllocsPerRun(runs, func() { handler.ServeHTTP(w, r) })
			require.LessOrEqual(t, int(allocated), row.max)
			require.Equal(t, row.hooks*(runs+1), ran) // one to warm up
		})
	}
}
