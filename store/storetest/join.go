package storetest

import (
	"context"

	"github.com/stretchr/testify/require"
)

// joinCases test a Transaction within a Transaction.
var joinCases = []testCase{
	{
		name: "joining-does-not-wait-for-itself",
		explanation: "a call that joins a Transaction with the identity that it already holds, or with none, " +
			"does not wait",
		needs: transactions,
		run: func(e *env) {
			id := e.newIdentity()
			depth := 0
			fn := func(context.Context) error { depth++; return nil }
			for _, inner := range []string{id, "", id} {
				next := fn
				fn = func(ctx context.Context) error { depth++; return e.store.Transaction(ctx, inner, next) }
			}
			require.NoError(e, e.store.Transaction(e.ctx, id, fn))
			require.Equal(e, 4, depth)
		},
	},
	{
		name: "joined-error-is-returned",
		explanation: "a joining call returns its fn's error, and errors.Is finds it; so does the outermost call, " +
			"if the outer fn returns it",
		needs: transactions,
		run: func(e *env) {
			id := e.newIdentity()
			var inner error
			outer := e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
				inner = e.store.Transaction(ctx, id, failures["an error"])
				return inner
			})
			require.ErrorIs(e, inner, errOnPurpose)
			require.ErrorIs(e, outer, errOnPurpose)
		},
	},
	{
		name:        "joined-panic-goes-on",
		explanation: "a panic in a joined fn continues through all calls, with its value",
		needs:       transactions,
		run: func(e *env) {
			id := e.newIdentity()
			o := e.wait(start(func() error {
				return e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
					return e.store.Transaction(ctx, id, failures["a panic"])
				})
			}))
			require.False(e, o.returned, "Transaction returned")
			require.Equal(e, errOnPurpose, o.panicked)
		},
	},
	{
		name:        "ended-context-does-not-join",
		explanation: "a joining call whose ctx has ended is an error, and does not run fn",
		needs:       transactions,
		run: func(e *env) {
			id := e.newIdentity()
			var ran bool
			var err error
			_ = e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				ran, err = e.try(ctx, id)
				return nil
			})
			require.ErrorIs(e, err, context.Canceled)
			require.False(e, ran, "fn ran")
		},
	},
	{
		name: "joining-waits-for-the-identity",
		explanation: "a joining call waits for its identity while another transaction holds it, and gives up, " +
			"without running fn, when its ctx ends",
		needs: transactions,
		run: func(e *env) {
			id := e.newIdentity()
			var ran bool
			require.NoError(e, e.store.Transaction(e.ctx, id, func(context.Context) error {
				ctx := e.briefly()
				_ = e.store.Transaction(ctx, "", func(ctx context.Context) (err error) {
					ran, err = e.try(ctx, id)
					return err
				})
				return nil
			}))
			require.False(e, ran, "fn ran while another transaction of the identity was open")
		},
	},
	{
		name: "joining-holds-both",
		explanation: "after a joining call has returned, its identity is still held, as is the first: until the " +
			"outermost call returns",
		needs: transactions,
		run: func(e *env) {
			ids := []string{e.newIdentity(), e.newIdentity()}
			ran := make([]bool, 2)
			require.NoError(e, e.store.Transaction(e.ctx, ids[0], func(ctx context.Context) error {
				if _, err := e.try(ctx, ids[1]); err != nil {
					return err
				}
				ctx = e.briefly()
				e.together(2, func(i int) (err error) {
					ran[i], err = e.try(ctx, ids[i])
					return err
				})
				return nil
			}))
			require.False(e, ran[0], "the first identity could be had while the transaction was open")
			require.False(e, ran[1], "the joined identity could be had while the transaction was open")
			for i := range ran {
				again, err := e.try(e.ctx, ids[i])
				require.NoError(e, err)
				require.True(e, again)
			}
		},
	},
	{
		name: "joined-commits-with-the-outermost",
		explanation: "what a joined call wrote is committed together with the rest when the outermost call " +
			"returns, and not before",
		needs: rows,
		run: func(e *env) {
			id, other := e.newIdentity(), e.newIdentity()
			first, second := e.mark(id), e.mark(other)
			var early bool
			require.NoError(e, e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
				if err := first.put(ctx); err != nil {
					return err
				}
				if err := e.store.Transaction(ctx, other, second.put); err != nil {
					return err
				}
				seen, err := second.seen(e.briefly())
				early = seen && err == nil
				return nil
			}))
			require.False(e, early, "it was visible before the outermost call returned")
			e.requireSeen(first, true)
			e.requireSeen(second, true)
		},
	},
	{
		name:        "joined-is-the-same-transaction",
		explanation: "a joined call sees what the outer one has written, and the outer one sees what it wrote",
		needs:       rows,
		run: func(e *env) {
			id := e.newIdentity()
			first, second := e.mark(id), e.mark(id)
			var down, up bool
			require.NoError(e, e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
				if err := first.put(ctx); err != nil {
					return err
				}
				err := e.store.Transaction(ctx, "", func(ctx context.Context) (err error) {
					if down, err = first.seen(ctx); err != nil {
						return err
					}
					return second.put(ctx)
				})
				if err == nil {
					up, err = second.seen(ctx)
				}
				return err
			}))
			require.True(e, down, "the joined call does not see what the outer one has written")
			require.True(e, up, "the outer call does not see what the joined one has written")
		},
	},
	{
		name: "joined-rolls-back-with-the-outermost",
		explanation: "what a joined call wrote is rolled back if the outermost call fails, though the joined one " +
			"succeeded",
		needs: rows,
		run: func(e *env) {
			succeed := func(context.Context) error { return nil }
			e.requireJoinedLost("", succeed, errOnPurpose)
			e.requireJoinedLost(e.newIdentity(), succeed, errOnPurpose)
		},
	},
	{
		name: "joined-failure-is-never-committed",
		explanation: "if a joined fn returns an error, what it wrote is not committed, even if the outer fn " +
			"returns nil",
		needs: rows,
		run:   func(e *env) { e.requireJoinedLost("", failures["an error"], nil) },
	},
	{
		name: "joined-panic-is-never-committed",
		explanation: "if a joined fn panics, what it wrote is not committed, even if the outer fn recovers and " +
			"returns nil",
		needs: rows,
		run:   func(e *env) { e.requireJoinedLost("", failures["a panic"], nil) },
	},
	{
		name:        "joined-goexit-is-never-committed",
		explanation: "if a joined fn ends its goroutine by runtime.Goexit, nothing of the transaction is committed",
		needs:       rows,
		run:         func(e *env) { e.requireJoinedLost("", failures["runtime.Goexit"], nil) },
	},
}

// requireJoinedLost writes in a call and in a joining call, which then ends as end does. The outer
// fn recovers and returns result. Nothing of the joined call may remain. Of the outer one, all or
// nothing may remain, as the store reports.
func (e *env) requireJoinedLost(innerID string, end func(context.Context) error, result error) {
	id := e.newIdentity()
	outer, inner := e.mark(id), e.mark(id)
	var put error
	o := e.wait(start(func() error {
		return e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
			if put = outer.put(ctx); put != nil {
				return put
			}
			func() {
				defer func() { _ = recover() }()
				_ = e.store.Transaction(ctx, innerID, func(ctx context.Context) error {
					put = inner.put(ctx)
					return end(ctx)
				})
			}()
			return result
		})
	}))
	require.NoError(e, put)
	if result != nil {
		require.ErrorIs(e, o.err, result)
	}
	e.requireSeen(inner, false)
	e.requireSeen(outer, o.returned && o.err == nil)
}
