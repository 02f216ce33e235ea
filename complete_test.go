package flowhook_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestComplete(t *testing.T) {
	save := func(b *flowtest.RunTest) func(context.Context) error {
		return func(context.Context) error { b.Ran = append(b.Ran, "save"); return nil }
	}

	t.Run("gate, save and after, in this order, the last two in one transaction", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginGate, "gate", func(ctx context.Context, _ *flowhook.Exchange) error { require.Empty(t, b.Store.Entries); return nil })
		b.Add(flowtest.LoginAfter, "after", func(ctx context.Context, _ *flowhook.Exchange) error {
			require.NotNil(t, ctx.Value(flowtest.InTransactionKey{}))
			return nil
		})
		b.Add(flowtest.LoginFailed, "failed")
		handled, err := b.Complete(func(ctx context.Context) error {
			require.NotNil(t, ctx.Value(flowtest.InTransactionKey{}))
			b.Exchange.Writer.Header().Set("X-Save", "staged")
			require.Empty(t, b.Recorder.Header().Get("X-Save"))
			return save(b)(ctx)
		})
		require.NoError(t, err)
		require.False(t, handled)
		require.Equal(t, []string{"gate", "save", "after"}, b.Ran)
		require.Equal(t, []string{"begin alice", "commit"}, b.Store.Entries)
		require.Equal(t, "staged", b.Recorder.Header().Get("X-Save"))
	})

	t.Run("a gate that answers ends it before anything is saved", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginGate, "gate", flowtest.AnswerWith(http.StatusForbidden, "not you"))
		b.Add(flowtest.LoginAfter, "after")
		b.Add(flowtest.LoginFailed, "failed")
		handled, err := b.Complete(save(b))
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"gate"}, b.Ran)
		require.Empty(t, b.Store.Entries)
		require.Equal(t, http.StatusForbidden, b.Recorder.Code)
		require.Equal(t, "not you", b.Recorder.Body.String())
	})

	t.Run("an error of save comes back unchanged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "after")
		handled, err := b.Complete(func(ctx context.Context) error {
			flowtest.Meddle(ctx, b.Exchange)
			b.Recorder.Header().Set("X-Host", "changed behind the stage")
			return flowtest.ErrRefused
		})
		require.False(t, handled)
		require.True(t, err == flowtest.ErrRefused)
		require.Empty(t, b.Ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	})

	t.Run("an identity that save sets is locked before the after hooks", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Exchange.Identity = nil
		b.Add(flowtest.LoginAfter, "after", func(context.Context, *flowhook.Exchange) error {
			require.Equal(t, []string{"begin ", "join carol"}, b.Store.Entries)
			return nil
		})
		_, err := b.Complete(func(context.Context) error { b.Exchange.Identity = &flowhook.Identity{ID: "carol"}; return nil })
		require.NoError(t, err)
		require.Equal(t, []string{"after"}, b.Ran)
		require.Equal(t, []string{"begin ", "join carol", "commit"}, b.Store.Entries)
	})

	t.Run("save does not answer", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		handled, err := b.Complete(func(context.Context) error {
			http.Redirect(b.Exchange.Writer, b.Exchange.Request, "/", http.StatusFound)
			return nil
		})
		require.False(t, handled)
		require.ErrorContains(t, err, "save: it has answered")
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	})

	t.Run("a panic of save is the host's", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginFailed, "failed")
		require.PanicsWithValue(t, "the host's", func() {
			b.Complete(func(ctx context.Context) error { flowtest.Meddle(ctx, b.Exchange); panic("the host's") })
		})
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		require.Empty(t, b.Ran)
		b.RequireUntouched()
	})

	t.Run("a commit that fails", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Store.CommitErr = flowtest.ErrRefused
		b.Add(flowtest.LoginAfter, "after", flowtest.Meddle, flowtest.AnswerWith(302, ""), func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { t.Error("not committed"); return nil })
			return nil
		})
		handled, err := b.Complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		b.RequireUntouched()
	})

	t.Run("a request that has ended saves nothing", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Cancel()
		_, err := b.Complete(save(b))
		require.Equal(t, context.Canceled, err)
		require.Empty(t, b.Ran)
	})

	t.Run("works without a store", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Options.Store = nil
		b.Add(flowtest.LoginAfter, "after")
		_, err := b.Complete(save(b))
		require.NoError(t, err)
		require.Equal(t, []string{"save", "after"}, b.Ran)
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
		{"cannot begin", func(context.Context, func(context.Context) error) error { return flowtest.ErrStoreDown }, false, "database is down"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Options.Store = row.store
			b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
			if row.fails {
				b.Add(flowtest.LoginAfter, "refuses", flowtest.Refuse)
			}
			handled, err := b.Run(flowhook.After)
			require.False(t, handled)
			require.ErrorContains(t, err, row.says)
			b.RequireUntouched()
		})
	}
}
