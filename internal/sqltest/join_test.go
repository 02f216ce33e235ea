package sqltest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// Two stores on one pool share transactions: the second does not wait for the lock of the first.
func TestJoin_OtherStoreOnSamePool(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		s2, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		v := newSession("a")
		err = s.Transaction(ctx, "a", func(ctx context.Context) error {
			return s2.Transaction(ctx, "a", func(ctx context.Context) error { return s2.CreateSession(ctx, v) })
		})
		require.NoError(t, err)
	})
}

// A joining call waits for an identity no longer than its own context, which may end first.
func TestJoin_ContextEndsWhileWaiting(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		in, out := make(chan struct{}), make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- s.Transaction(testContext(t), "b", func(ctx context.Context) error { close(in); <-out; return nil })
		}()
		<-in
		outer, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		err := s.Transaction(outer, "a", func(ctx context.Context) error {
			brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := s.Transaction(brief, "b", func(ctx context.Context) error { return nil })
			require.Less(t, time.Since(began), time.Second)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return nil
		})
		close(out)
		require.NoError(t, <-done)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error { return nil }))
		require.Zero(t, db.Stats().InUse)
	})
}

// A joining call does not run its function if the transaction has failed or is over, even if there
// is no identity to lock.
func TestJoin_TransactionFailedOrOver(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		var inside context.Context
		require.Error(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			inside = ctx
			require.NoError(t, s.Transaction(ctx, "", func(context.Context) error { return nil }))
			require.Error(t, s.Transaction(ctx, "", func(context.Context) error { return context.Canceled }))
			require.Error(t, s.Transaction(ctx, "", func(context.Context) error {
				t.Error("fn ran in a failed transaction")
				return nil
			}))
			return nil
		}))
		require.Error(t, s.Transaction(inside, "", func(context.Context) error {
			t.Error("fn ran after the transaction")
			return nil
		}))
	})
}

// If the context of a joining call ends while its function runs, the whole transaction fails.
func TestJoin_ContextEndsInFunction(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		v := newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			brief, cancel := context.WithCancel(ctx)
			require.ErrorIs(t, s.Transaction(brief, "", func(ctx context.Context) error {
				defer cancel()
				return s.CreateSession(ctx, v)
			}), context.Canceled)
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		requireNone(t, s, v.ID)
	})
}

// The transaction fails if a joining call of another goroutine is still running when fn returns.
func TestJoin_StillRunning(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		v := newSession("a")
		out, joined := make(chan struct{}), make(chan error, 1)
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			in := make(chan struct{})
			go func() {
				joined <- s.Transaction(ctx, "", func(ctx context.Context) error {
					err := s.CreateSession(ctx, v)
					close(in)
					<-out
					return err
				})
			}()
			<-in
			return nil
		})
		require.ErrorContains(t, err, "still running")
		close(out)
		<-joined
		requireNone(t, s, v.ID)
	})
}
