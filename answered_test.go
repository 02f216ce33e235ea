package flowhook_test

import (
	"context"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestAnswered(t *testing.T) {
	require.False(t, new(flowhook.Exchange).Answered())

	// said is what Answered says in front of each hook, and behind it.
	watch := func(b *flowtest.RunTest) *[]string {
		said := new([]string)
		b.Options.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
			return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
				require.False(t, x.Answered(), "nothing runs behind an answer")
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

	t.Run("of the hook that did, while it runs and after", func(t *testing.T) {
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
			require.True(t, x.Answered(), "without a body and without WriteHeader, too")
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

	t.Run("not of an answer that did not leave", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		said := watch(b)
		b.Add(flowtest.LoginAfter, "fails", flowtest.AnswerWith(302, ""), flowtest.Refuse)
		b.Add(flowtest.LoginFailed, "looks")
		_, err := b.Complete(nil)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.Equal(t, []string{"fails answered", "looks"}, *said, "failed hooks are another run")
		require.False(t, b.Exchange.Answered())
	})

	t.Run("not of one of a run that failed, when it is over", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "fails", flowtest.AnswerWith(302, ""), flowtest.Refuse)
		_, err := b.Run(flowhook.After)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.False(t, b.Exchange.Answered())
	})

	t.Run("not of headers alone, or of a status that is none", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		said := watch(b)
		b.Add(flowtest.LoginAfter, "header", header)
		b.Add(flowtest.LoginAfter, "misuse", func(_ context.Context, x *flowhook.Exchange) error { x.Writer.WriteHeader(100); return nil })
		_, err := b.Run(flowhook.After)
		require.Error(t, err)
		require.Equal(t, []string{"header", "misuse"}, *said)
		require.False(t, b.Exchange.Answered())
	})

	t.Run("of a failed hook that answers", func(t *testing.T) {
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
