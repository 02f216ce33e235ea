package flowhook_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

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
