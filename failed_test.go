package flowhook_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestFailedHooks(t *testing.T) {
	t.Run("run once an attempt, outside the transaction, with the cause", func(t *testing.T) {
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

	t.Run("are not cancelled with the request, and end", func(t *testing.T) {
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

	t.Run("may answer, and the cause is logged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "failed", flowtest.AnswerWith(http.StatusTooManyRequests, "slow down"))
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, http.StatusTooManyRequests, b.Recorder.Code)
		require.Contains(t, b.Log.String(), "refused")
	})

	t.Run("do not run after an answer at before_persist", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginGate, "gate", flowtest.AnswerWith(http.StatusForbidden, "not today"))
		b.Add(flowtest.LoginFailed, "failed")
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, http.StatusForbidden, b.Recorder.Code)
		require.Equal(t, []string{"gate"}, b.Ran)
	})

	t.Run("that fail themselves are only logged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "failed", flowtest.AnswerWith(302, ""), flowtest.Meddle, func(context.Context, *flowhook.Exchange) error { panic("as well") })
		handled, err := b.Complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.NotContains(t, err.Error(), "as well")
		require.Contains(t, b.Log.String(), "as well")
		b.RequireUntouched()
	})

	t.Run("do not run if Complete refuses the call", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginBefore, "before")
		b.Add(flowtest.LoginFailed, "failed")
		_, err := b.Complete(nil)
		require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
		require.Empty(t, b.Ran)

	})

	t.Run("run for any error of save", func(t *testing.T) {
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
