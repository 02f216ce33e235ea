package flowhook_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestAfterCommit(t *testing.T) {
	t.Run("runs after the commit, before the response, whatever becomes of the request", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		var done []string
		b.Add(flowtest.LoginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
			for _, name := range []string{"first", "second"} {
				x.AfterCommit(func(ctx context.Context) error {
					b.Cancel()
					require.Equal(t, []string{"begin alice", "commit"}, b.Store.Entries)
					require.False(t, b.Recorder.Flushed)
					require.Empty(t, b.Recorder.Header().Get("X-Hook"))
					require.NoError(t, ctx.Err())
					deadline, ok := ctx.Deadline()
					require.True(t, ok)
					require.WithinDuration(t, time.Now().Add(10*time.Second), deadline, time.Second)
					require.Nil(t, ctx.Value(flowtest.InTransactionKey{}))
					got, _ := flowhook.FromContext(ctx)
					require.Same(t, x, got)
					done = append(done, name)
					return nil
				})
			}
			return nil
		}, flowtest.AnswerWith(302, ""))
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"first", "second"}, done)
		require.Equal(t, "was here", b.Recorder.Header().Get("X-Hook"))
	})

	t.Run("what goes wrong in it is logged, and the rest goes on", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		last := false
		b.Add(flowtest.LoginAfter, "mailer", func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { return flowtest.ErrRefused })
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
		}, flowtest.AnswerWith(303, "body"))
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.True(t, last)
		require.Equal(t, 303, b.Recorder.Code)
		require.Equal(t, "body", b.Recorder.Body.String())
		require.Empty(t, b.Recorder.Header().Get("X-Late"))
		for _, says := range []string{"refused", "in the post", "ended its goroutine", "abort Handler", "mailer", "flowtest/run.go:"} {
			require.Contains(t, b.Log.String(), says)
		}
		require.Equal(t, 2, strings.Count(b.Log.String(), "a hook panicked"), "each panic, and nothing else, with its stack")
		require.Contains(t, b.Log.String(), "aftercommit_test.go:")
	})

	t.Run("of a gate waits for the commit, of a before for the run, of save too", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		leave := func(name string) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				x.AfterCommit(func(context.Context) error { b.Ran = append(b.Ran, "later: "+name); return nil })
				return nil
			}
		}
		b.Add(flowtest.LoginBefore, "before", leave("before"))
		b.Add(flowtest.LoginGate, "gate", leave("gate"))
		p := b.Pipeline()
		_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.NoError(t, err)
		_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
			b.Ran = append(b.Ran, "save")
			return leave("save")(ctx, b.Exchange)
		})
		require.NoError(t, err)
		require.Equal(t, []string{"before", "later: before", "gate", "save", "later: gate", "later: save"}, b.Ran)
	})

	t.Run("does not run when the run fails, and not at the next try", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		fail := true
		count := 0
		b.Add(flowtest.LoginAfter, "mailer", func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { count++; return nil })
			if fail {
				return flowtest.ErrRefused
			}
			return nil
		})
		p := b.Pipeline()
		_, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
		require.Error(t, err)
		require.Zero(t, count)
		fail = false
		_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)
		require.Equal(t, 1, count)
	})

	t.Run("panics outside a run", func(t *testing.T) {
		require.Panics(t, func() { new(flowhook.Exchange).AfterCommit(func(context.Context) error { return nil }) })
	})
}
