package storetest

import (
	"context"
	"errors"
	"runtime"

	"github.com/stretchr/testify/require"
)

var errOnPurpose = errors.New("storetest: this transaction fails on purpose")

// transactionCases test how one call of Transaction begins and ends.
var transactionCases = []testCase{
	{
		name:        "fn-runs-once",
		explanation: "Transaction runs fn exactly once: work that cannot be repeated is done in it",
		needs:       transactions,
		run: func(e *env) {
			ran := 0
			require.NoError(e, e.store.Transaction(e.ctx, e.newIdentity(), func(context.Context) error { ran++; return nil }))
			require.Equal(e, 1, ran)
		},
	},
	{
		name:        "failing-fn-runs-once",
		explanation: "Transaction runs fn exactly once, even if it fails: the store does not retry",
		needs:       transactions,
		run: func(e *env) {
			ran := 0
			require.Error(e, e.store.Transaction(e.ctx, e.newIdentity(), func(context.Context) error { ran++; return errOnPurpose }))
			require.Equal(e, 1, ran)
		},
	},
	{
		name:        "context-is-derived",
		explanation: "fn's context is derived from the caller's: it carries its values, and ends with it",
		needs:       transactions,
		run: func(e *env) {
			type key struct{}
			ctx, cancel := context.WithCancel(context.WithValue(e.ctx, key{}, "value"))
			defer cancel()
			var value any
			var ended error
			_ = e.store.Transaction(ctx, e.newIdentity(), func(ctx context.Context) error {
				value = ctx.Value(key{})
				cancel()
				select {
				case <-ctx.Done():
					ended = ctx.Err()
				case <-e.ctx.Done():
				}
				return nil
			})
			require.Equal(e, "value", value)
			require.ErrorIs(e, ended, context.Canceled)
		},
	},
	{
		name:        "error-is-returned",
		explanation: "Transaction returns fn's error, and errors.Is finds it: callers tell failures apart",
		needs:       transactions,
		run: func(e *env) {
			err := e.store.Transaction(e.ctx, e.newIdentity(), func(context.Context) error { return errOnPurpose })
			require.ErrorIs(e, err, errOnPurpose)
		},
	},
	{
		name: "panic-goes-on",
		explanation: "a panic of fn goes on after the rollback, with its value: http.ErrAbortHandler must reach " +
			"the server",
		needs: transactions,
		run: func(e *env) {
			value := &struct{ string }{"the value of a panic"}
			ran := 0
			o := e.wait(start(func() error {
				return e.store.Transaction(e.ctx, e.newIdentity(), func(context.Context) error { ran++; panic(value) })
			}))
			require.False(e, o.returned, "Transaction returned")
			require.Same(e, value, o.panicked)
			require.Equal(e, 1, ran)
		},
	},
	{
		name:        "goexit-goes-on",
		explanation: "if fn calls runtime.Goexit, its goroutine ends after the rollback: Transaction does not return",
		needs:       transactions,
		run: func(e *env) {
			ran := 0
			o := e.wait(start(func() error {
				return e.store.Transaction(e.ctx, e.newIdentity(), func(context.Context) error { ran++; runtime.Goexit(); return nil })
			}))
			require.False(e, o.returned, "Transaction returned")
			require.Nil(e, o.panicked)
			require.Equal(e, 1, ran)
		},
	},
	{
		name:        "ended-context-does-not-begin",
		explanation: "if ctx has already ended, Transaction returns ctx.Err() and does not run fn",
		needs:       transactions,
		run: func(e *env) {
			ran, err := e.try(e.canceled(), e.newIdentity())
			require.ErrorIs(e, err, context.Canceled)
			require.False(e, ran, "fn ran")
		},
	},
	{
		name:        "ended-context-does-not-commit",
		explanation: "if ctx is canceled before the commit, Transaction returns ctx.Err(), even if fn returned nil",
		needs:       transactions,
		run: func(e *env) {
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			err := e.store.Transaction(ctx, e.newIdentity(), func(context.Context) error { cancel(); return nil })
			require.ErrorIs(e, err, context.Canceled)
		},
	},
	{
		name: "deadline-does-not-commit",
		explanation: "if ctx reaches its deadline before the commit, Transaction returns ctx.Err(), even if fn " +
			"returned nil",
		needs: transactions,
		run: func(e *env) {
			err := e.store.Transaction(e.briefly(), e.newIdentity(), func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
			require.ErrorIs(e, err, context.DeadlineExceeded)
		},
	},
	{
		name: "error-wins-over-ended-context",
		explanation: "Transaction returns fn's error even if ctx has ended meanwhile, because it says what went " +
			"wrong first",
		needs: transactions,
		run: func(e *env) {
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			err := e.store.Transaction(ctx, e.newIdentity(), func(context.Context) error { cancel(); return errOnPurpose })
			require.ErrorIs(e, err, errOnPurpose)
		},
	},
}
