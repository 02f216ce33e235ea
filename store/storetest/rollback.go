package storetest

import (
	"context"
	"errors"

	"github.com/stretchr/testify/require"
)

// rollbackCases test what remains of a transaction, and when others see it. They need a store that
// stores something.
var rollbackCases = []testCase{
	{
		name:        "commit-keeps",
		explanation: "if fn returns nil, what it wrote is stored when Transaction returns",
		needs:       rows,
		run: func(e *env) {
			id := e.newIdentity()
			m := e.mark(id)
			require.NoError(e, e.store.Transaction(e.ctx, id, m.put))
			e.requireSeen(m, true)
		},
	},
	{
		name:        "error-rolls-back",
		explanation: "if fn returns an error, nothing that it wrote remains",
		needs:       rows,
		run:         func(e *env) { e.requireRolledBack(failures["an error"]) },
	},
	{
		name:        "panic-rolls-back",
		explanation: "if fn panics, nothing that it wrote remains",
		needs:       rows,
		run:         func(e *env) { e.requireRolledBack(failures["a panic"]) },
	},
	{
		name:        "goexit-rolls-back",
		explanation: "if fn calls runtime.Goexit, nothing that it wrote remains: a deferred commit would keep it",
		needs:       rows,
		run:         func(e *env) { e.requireRolledBack(failures["runtime.Goexit"]) },
	},
	{
		name:        "ended-context-rolls-back",
		explanation: "if ctx ends before the commit, nothing that fn wrote remains: the client is told that it failed",
		needs:       rows,
		run: func(e *env) {
			id := e.newIdentity()
			m := e.mark(id)
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			var put error
			err := e.store.Transaction(ctx, id, func(ctx context.Context) error {
				put = m.put(ctx)
				cancel()
				return nil
			})
			require.NoError(e, put)
			require.ErrorIs(e, err, context.Canceled)
			e.requireSeen(m, false)
		},
	},
	{
		name:        "ended-context-writes-nothing",
		explanation: "a store call whose ctx has ended is an error, and changes nothing",
		needs:       rows,
		run: func(e *env) {
			m := e.mark(e.newIdentity())
			require.Error(e, m.put(e.canceled()))
			e.requireSeen(m, false)
		},
	},
	{
		name:        "reads-own-writes",
		explanation: "store calls with the transaction's context are part of it: they see what it has written",
		needs:       rows,
		run: func(e *env) {
			id := e.newIdentity()
			m := e.mark(id)
			var before, after bool
			require.NoError(e, e.store.Transaction(e.ctx, id, func(ctx context.Context) (err error) {
				before, err = m.seen(ctx)
				if err == nil {
					err = m.put(ctx)
				}
				if err == nil {
					after, err = m.seen(ctx)
				}
				return err
			}))
			require.False(e, before, "it was there before it was written")
			require.True(e, after, "the transaction does not see what it has written")
		},
	},
	{
		name: "others-see-nothing-uncommitted",
		explanation: "what a transaction has written is not visible before its commit to a call without the " +
			"transaction's " +
			"context (which may wait for the transaction, but then has to give up when its own context ends)",
		needs: rows,
		run: func(e *env) {
			id := e.newIdentity()
			m := e.mark(id)
			var early bool
			require.NoError(e, e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
				if err := m.put(ctx); err != nil {
					return err
				}
				seen, err := m.seen(e.briefly())
				early = seen && err == nil
				return nil
			}))
			require.False(e, early, "it was visible before the commit")
			e.requireSeen(m, true)
		},
	},
	{
		name: "outside-survives-rollback",
		explanation: "a store call without the transaction's context is outside of it: what it reported as " +
			"written stays when the " +
			"transaction is rolled back (it may wait for the transaction instead, and give up when its own context ends)",
		needs: rows,
		run: func(e *env) {
			id := e.newIdentity()
			inside, outside := e.mark(id), e.mark(e.newIdentity())
			var put error
			err := e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
				put = outside.put(e.briefly())
				if err := inside.put(ctx); err != nil {
					return err
				}
				return errOnPurpose
			})
			require.ErrorIs(e, err, errOnPurpose)
			e.requireSeen(inside, false)
			if put == nil {
				e.requireSeen(outside, true)
			}
		},
	},
	{
		name:        "many-at-once",
		explanation: "64 transactions of different identities at once are each kept, or rolled back, by themselves",
		needs:       rows,
		run: func(e *env) {
			marks := make([]mark, 64)
			ids := make([]string, len(marks))
			for i := range marks {
				ids[i] = e.newIdentity()
				marks[i] = e.mark(ids[i])
			}
			fails := func(i int) bool { return i%3 == 0 }
			for i, o := range e.together(len(marks), func(i int) error {
				return e.store.Transaction(e.ctx, ids[i], func(ctx context.Context) error {
					if err := marks[i].put(ctx); err != nil {
						return err
					}
					if fails(i) {
						return errOnPurpose
					}
					return nil
				})
			}) {
				if fails(i) {
					require.ErrorIs(e, o.err, errOnPurpose)
				} else {
					require.NoError(e, o.err)
				}
			}
			for i, m := range marks {
				e.requireSeen(m, !fails(i))
			}
		},
	},
	{
		name: "mutual-wait-is-all-or-nothing",
		explanation: "of two transactions that wait for each other's identity, the one that gets an error leaves " +
			"nothing, and everything of the other one remains",
		needs: rows,
		run: func(e *env) {
			marks := [2]mark{e.mark(e.newIdentity()), e.mark(e.newIdentity())}
			os, _ := e.cross(func(ctx context.Context, i int) error { return marks[i].put(ctx) })
			for i, m := range marks {
				e.requireSeen(m, os[i].err == nil)
			}
		},
	},
}

// requireRolledBack writes in a transaction that fails, and requires that nothing remains.
func (e *env) requireRolledBack(fail func(context.Context) error) {
	id := e.newIdentity()
	m := e.mark(id)
	put := errors.New("fn did not run")
	e.wait(start(func() error {
		return e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
			put = m.put(ctx)
			return fail(ctx)
		})
	}))
	require.NoError(e, put)
	e.requireSeen(m, false)
}
