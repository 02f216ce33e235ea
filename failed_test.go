package flowhook_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

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

	t.Run("do not run after an answer at before_persist", func(t *testing.T) {
		b := newBench(t)
		b.add(loginGate, "gate", answerWith(http.StatusForbidden, "not today"))
		b.add(loginFailed, "failed")
		handled, err := b.complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, http.StatusForbidden, b.rec.Code)
		require.Equal(t, []string{"gate"}, b.ran)
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

	t.Run("do not run if Complete refuses the call", func(t *testing.T) {
		b := newBench(t)
		b.add(loginBefore, "before")
		b.add(loginFailed, "failed")
		_, err := b.complete(nil)
		require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
		require.Empty(t, b.ran)

	})

	t.Run("run for any error of save", func(t *testing.T) {
		for _, wrong := range []error{flowhook.ErrAnswered, flowhook.ErrOtherPipeline, flowhook.ErrNested,
			flowhook.ErrPhaseSkipped, flowhook.ErrUnknownPoint} {
			b := newBench(t)
			b.add(loginFailed, "failed")
			_, err := b.complete(func(context.Context) error { return fmt.Errorf("save: %w", wrong) })
			require.ErrorIs(t, err, wrong)
			require.Equal(t, []string{"failed"}, b.ran)
		}
		b := newBench(t)
		b.add(loginFailed, "failed")
		p := b.pipeline()
		_, err := p.Complete(b.ctx, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
			_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
			return err
		})
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.Equal(t, []string{"failed"}, b.ran)
	})
}
