package memstore_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/memstore"
)

// bounded returns a context for calls that must end by themselves.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// waiting returns when n calls wait for the identity.
func waiting(t *testing.T, ctx context.Context, s *memstore.Store, identityID string, n int) {
	for s.Waiting(identityID) != n {
		require.NoError(t, ctx.Err())
		runtime.Gosched()
	}
}

func nothing(context.Context) error { return nil }

func TestTransaction_DifferentIdentitiesRunConcurrently(t *testing.T) {
	ctx, s := bounded(t), memstore.New()
	require.NoError(t, s.Transaction(ctx, "a", func(context.Context) error {
		require.NoError(t, s.Transaction(ctx, "b", nothing))
		require.NoError(t, s.Transaction(ctx, "", nothing))
		return s.CreateSession(ctx, session("a", "a", start, time.Hour))
	}))
	require.Zero(t, s.Locks())
}

func TestTransaction_TurnsInOrder(t *testing.T) {
	ctx, s := bounded(t), memstore.New()
	const n = 20
	var order []int
	ended := make(chan error, n)
	require.NoError(t, s.Transaction(ctx, "user", func(context.Context) error {
		for i := range n {
			ctx, cancel := context.WithCancel(ctx)
			go func() {
				defer cancel()
				ended <- s.Transaction(ctx, "user", func(context.Context) error {
					order = append(order, i) // guarded by the identity
					return nil
				})
			}()
			waiting(t, ctx, s, "user", i+1-i/5)
			if i%5 == 4 { // a call that gives up keeps the others in order
				cancel()
				require.ErrorIs(t, <-ended, context.Canceled)
				waiting(t, context.WithoutCancel(ctx), s, "user", i-i/5)
			}
		}
		return nil
	}))
	for range n - n/5 {
		require.NoError(t, <-ended)
	}
	require.Len(t, order, n-n/5)
	require.True(t, slices.IsSorted(order), "%v", order)
	require.Zero(t, s.Locks())
}

// Each transaction holds one identity and wants the next one's. The last one gets an error at once, and
// then the others can end.
func TestTransaction_CircularWaitIsErrDeadlock(t *testing.T) {
	for _, n := range []int{2, 3, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ctx, s := bounded(t), memstore.New()
			name := func(i int) string { return fmt.Sprint("user", i%n) }
			ended := make(chan error, n)
			hold := func(i int) error {
				return s.Transaction(ctx, name(i), func(tx context.Context) error { return s.Transaction(tx, name(i+1), nothing) })
			}
			// The last holds its identity first; then each of the others waits for the one after
			// it.
			last := make(chan struct{})
			held := make(chan struct{})
			stillWaits := 0
			go func() {
				ended <- s.Transaction(ctx, name(n-1), func(tx context.Context) error {
					close(held)
					<-last
					err := s.Transaction(tx, name(0), nothing)
					stillWaits = s.Waiting(name(0))
					return err
				})
			}()
			<-held
			for i := n - 2; i >= 0; i-- {
				go func() { ended <- hold(i) }()
				waiting(t, ctx, s, name(i+1), 1)
			}
			close(last)
			require.ErrorIs(t, <-ended, memstore.ErrDeadlock)
			require.Zero(t, stillWaits)
			for range n - 1 {
				require.NoError(t, <-ended)
			}
			require.Zero(t, s.Locks())
		})
	}
}

// A transaction whose outermost call has returned takes no identity any more, though a joining call
// still waits for it. Other transactions wait on.
func TestTransaction_WaitEndsWithTransaction(t *testing.T) {
	ctx, s := bounded(t), memstore.New()
	left, other := make(chan error), make(chan error)
	require.NoError(t, s.Transaction(ctx, "a", func(context.Context) error {
		go func() { other <- s.Transaction(ctx, "a", nothing) }()
		waiting(t, ctx, s, "a", 1)
		require.NoError(t, s.Transaction(ctx, "b", func(tx context.Context) error {
			go func() { left <- s.Transaction(tx, "a", func(context.Context) error { panic("fn must not run") }) }()
			waiting(t, ctx, s, "a", 2)
			return nil
		}))
		require.Error(t, <-left)
		require.Equal(t, 1, s.Waiting("a"))
		return nil
	}))
	require.NoError(t, <-other)
	require.Zero(t, s.Locks())
}

// A transaction that has waited for an identity holds it like one that has not.
func TestTransaction_HoldsAfterWait(t *testing.T) {
	ctx, s := bounded(t), memstore.New()
	ended := make(chan error)
	var other error
	require.NoError(t, s.Transaction(ctx, "a", func(context.Context) error {
		go func() {
			ended <- s.Transaction(ctx, "a", func(tx context.Context) error {
				ending, cancel := context.WithCancel(ctx)
				other = s.Transaction(late{ending, cancel}, "a", nothing)
				return s.Transaction(tx, "a", nothing)
			})
		}()
		waiting(t, ctx, s, "a", 1)
		return nil
	}))
	require.NoError(t, <-ended)
	require.ErrorIs(t, other, context.Canceled, "another waits for it, as long as its context lasts")
	require.Zero(t, s.Locks())
}

// Two goroutines of one transaction may join with the same identity: both get it.
func TestTransaction_WaitsTwice(t *testing.T) {
	ctx, s := bounded(t), memstore.New()
	ended := make(chan error, 3)
	require.NoError(t, s.Transaction(ctx, "a", func(context.Context) error {
		go func() {
			ended <- s.Transaction(ctx, "b", func(tx context.Context) error {
				both := make(chan error, 2)
				for range 2 {
					go func() { both <- s.Transaction(tx, "a", nothing) }()
				}
				ended <- <-both
				return <-both
			})
		}()
		waiting(t, ctx, s, "a", 2)
		return nil
	}))
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.Zero(t, s.Locks())
}

// A joining call that gives up leaves the queue, although its transaction continues.
func TestTransaction_CanceledJoinLeavesQueue(t *testing.T) {
	ctx, s := bounded(t), memstore.New()
	require.NoError(t, s.Transaction(ctx, "a", func(context.Context) error {
		return s.Transaction(ctx, "b", func(tx context.Context) error {
			brief, cancel := context.WithCancel(tx)
			left := make(chan error)
			go func() { left <- s.Transaction(brief, "a", func(context.Context) error { panic("fn must not run") }) }()
			waiting(t, ctx, s, "a", 1)
			cancel()
			require.ErrorIs(t, <-left, context.Canceled)
			require.Zero(t, s.Waiting("a"))
			return nil
		})
	}))
	require.Zero(t, s.Locks())
}

// A transaction that waits twice can close a circle through a queue, because a later call in the queue
// waits for an earlier one.
func TestTransaction_CircularWaitThroughQueue(t *testing.T) {
	for _, closes := range []string{"first in the queue", "behind it"} {
		t.Run(closes, func(t *testing.T) {
			ctx, s := bounded(t), memstore.New()
			left := make(chan error, 2)
			join := func(tx context.Context, identityID string) {
				before := s.Waiting(identityID)
				go func() { left <- s.Transaction(tx, identityID, nothing) }()
				waiting(t, ctx, s, identityID, before+1)
			}
			require.NoError(t, s.Transaction(ctx, "queue", func(context.Context) error {
				return s.Transaction(ctx, "first", func(first context.Context) error {
					join(first, "queue")
					err := s.Transaction(ctx, "second", func(second context.Context) error {
						if closes == "behind it" {
							join(first, "second")
							return s.Transaction(second, "queue", nothing)
						}
						join(second, "queue")
						return s.Transaction(first, "second", nothing)
					})
					require.ErrorIs(t, err, memstore.ErrDeadlock)
					return nil
				})
			}))
		})
	}
}

// late is a context during whose first Done something happens.
type late struct {
	context.Context
	happens func()
}

func (c late) Done() <-chan struct{} {
	c.happens()
	return c.Context.Done()
}

// If the turn comes as the context ends, fn does not run.
func TestTransaction_TurnAfterContextEnds(t *testing.T) {
	for range 50 { // select chooses at random
		ctx, s := bounded(t), memstore.New()
		ending, cancel := context.WithCancel(ctx)
		held, let, ended := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			ended <- s.Transaction(ctx, "a", func(context.Context) error {
				close(held)
				<-let
				return nil
			})
		}()
		<-held
		err := s.Transaction(late{ending, sync.OnceFunc(func() {
			cancel()
			close(let)
			require.NoError(t, <-ended)
		})}, "a", func(context.Context) error { panic("fn must not run") })
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, s.Locks())
	}
}

// A joined call waits for an identity. Its context ends when the transaction is over and the identity
// is free.
func TestTransaction_ContextEndsAfterWait(t *testing.T) {
	for range 50 { // select chooses at random
		ctx, s := bounded(t), memstore.New()
		held, free, freed := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			freed <- s.Transaction(ctx, "a", func(context.Context) error {
				close(held)
				<-free
				return nil
			})
		}()
		<-held
		let, ended, left := make(chan struct{}), make(chan error), make(chan error)
		go func() {
			ended <- s.Transaction(ctx, "b", func(tx context.Context) error {
				tx, cancel := context.WithCancel(tx)
				go func() {
					left <- s.Transaction(late{tx, sync.OnceFunc(func() {
						close(let)
						assert.NoError(t, <-ended)
						close(free)
						assert.NoError(t, <-freed)
						cancel()
					})}, "a", func(context.Context) error { panic("fn must not run") })
				}()
				<-let
				return nil
			})
		}()
		require.ErrorIs(t, <-left, context.Canceled)
		require.Zero(t, s.Locks())
	}
}
