package storetest

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
)

// hostileIdentities are IDs that a careless store confuses or cannot handle. They include what no
// database stores as text, NUL and bytes that are not UTF-8, because locks only need a name.
var hostileIdentities = []string{
	"A", "a", "a ", "a\x00", "a\x00b", " a", "\x00", " ", "ä", "a\u0308", "%", "_", "*", "0", "-1", "null", "<nil>",
	"'; DROP TABLE sessions; --", `"`, "`", `\`, "../../etc/passwd", "a\r\nb", "\xff\xfe", "\u202e", "🔑",
	strings.Repeat("x", 200) + "1", strings.Repeat("x", 200) + "2", strings.Repeat("y", 10_000),
}

// lockCases test that transactions of one identity run one after the other.
var lockCases = []testCase{
	{
		name: "same-identity-waits",
		explanation: "a Transaction waits while another of the same identity is open, and gives up, without " +
			"running fn, when its ctx ends",
		needs: transactions,
		run: func(e *env) {
			id := e.newIdentity()
			var ran bool
			var err error
			require.NoError(e, e.store.Transaction(e.ctx, id, func(context.Context) error {
				ran, err = e.try(e.briefly(), id)
				return nil
			}))
			require.False(e, ran, "fn ran while another transaction of the identity was open")
			require.Error(e, err, "a transaction that did not run fn returned nil")
			ran, err = e.try(e.ctx, id)
			require.NoError(e, err, "the identity cannot be had after a waiting call gave up")
			require.True(e, ran)
		},
	},
	{
		name: "same-identity-never-overlaps",
		explanation: "of 64 transactions of one identity that start at once, no two are ever open at the same " +
			"time, and all get their turn",
		needs: transactions,
		run: func(e *env) {
			id := e.newIdentity()
			var open, overlaps atomic.Int32
			for _, o := range e.together(64, func(int) error {
				return e.store.Transaction(e.ctx, id, func(context.Context) error {
					if open.Add(1) > 1 {
						overlaps.Add(1)
					}
					for range 10 {
						runtime.Gosched()
					}
					open.Add(-1)
					return nil
				})
			}) {
				require.NoError(e, o.err)
			}
			require.Zero(e, overlaps.Load(), "transactions of one identity overlapped")
		},
	},
	{
		name: "turn-passes-on",
		explanation: "an identity is available again after a transaction fails in any way: otherwise one panic " +
			"locks a user out forever",
		needs: transactions,
		run: func(e *env) {
			id := e.newIdentity()
			for how, fail := range failures {
				e.wait(start(func() error { return e.store.Transaction(e.ctx, id, fail) }))
				ran, err := e.try(e.ctx, id)
				require.NoError(e, err, "after %s", how)
				require.True(e, ran, "after %s", how)
			}
		},
	},
	{
		name:        "any-identity-will-do",
		explanation: "an identityID may be any string: no string makes Transaction fail",
		needs:       transactions,
		run: func(e *env) {
			for _, id := range hostileIdentities {
				ran, err := e.try(e.ctx, id)
				require.NoError(e, err, "identity %.40q", id)
				require.True(e, ran, "identity %.40q", id)
			}
		},
	},
	{
		name:        "any-identity-waits",
		explanation: "an identityID may be any string: each is waited for while a transaction holds it",
		needs:       transactions,
		run: func(e *env) {
			var os []outcome
			ran := make([]bool, len(hostileIdentities))
			hold := func(context.Context) error {
				ctx := e.briefly()
				os = e.together(len(ran), func(i int) (err error) {
					ran[i], err = e.try(ctx, hostileIdentities[i])
					return err
				})
				return nil
			}
			for _, id := range hostileIdentities {
				next := hold
				hold = func(ctx context.Context) error { return e.store.Transaction(ctx, id, next) }
			}
			require.NoError(e, hold(e.ctx))
			for i, id := range hostileIdentities {
				require.False(e, ran[i], "fn ran although another transaction holds %.40q", id)
				require.Error(e, os[i].err, "identity %.40q", id)
			}
		},
	},
	{
		name: "identities-are-distinct",
		explanation: "no two strings share a meaning: in a store that runs transactions of different identities " +
			"at once, " +
			"none waits for one whose identity only looks the same",
		needs: transactions,
		run: func(e *env) {
			if !e.runsAtOnce() {
				return // with one writer, all transactions wait for each other
			}
			for i, id := range hostileIdentities {
				other := hostileIdentities[(i+1)%len(hostileIdentities)]
				require.NoError(e, e.store.Transaction(e.ctx, id, func(context.Context) error {
					ran, err := e.try(e.ctx, other)
					require.NoError(e, err, "%.40q while %.40q is held", other, id)
					require.True(e, ran)
					return nil
				}))
			}
		},
	},
	{
		name: "no-identity-waits-for-nobody",
		explanation: "an empty identityID is no identity: in a store that runs transactions of different " +
			"identities at once, " +
			"one without waits for nobody, not even for another without",
		needs: transactions,
		run: func(e *env) {
			if !e.runsAtOnce() {
				return
			}
			require.NoError(e, e.store.Transaction(e.ctx, "", func(context.Context) error {
				ran, err := e.try(e.ctx, "")
				require.NoError(e, err)
				require.True(e, ran)
				return nil
			}))
		},
	},
	{
		name: "mutual-wait-ends",
		explanation: "if two transactions wait for each other's identity, at least one of them gets an error: " +
			"nobody waits forever",
		needs: transactions,
		run: func(e *env) {
			os, met := e.cross(func(context.Context, int) error { return nil })
			if met {
				require.False(e, os[0].err == nil && os[1].err == nil, "both transactions had both identities at once")
			}
		},
	},
}

// failures are the ways in which fn can fail.
var failures = map[string]func(context.Context) error{
	"an error":       func(context.Context) error { return errOnPurpose },
	"a panic":        func(context.Context) error { panic(errOnPurpose) },
	"runtime.Goexit": func(context.Context) error { runtime.Goexit(); return nil },
}

// runsAtOnce reports whether two transactions of different identities can be open at the same time.
// Many embedded databases have one writer.
func (e *env) runsAtOnce() (ran bool) {
	id, other := e.newIdentity(), e.newIdentity()
	require.NoError(e, e.store.Transaction(e.ctx, id, func(context.Context) error {
		ran, _ = e.try(e.briefly(), other)
		return nil
	}))
	return ran
}

// cross runs two transactions that each hold an identity, call do, and then join the other's
// identity. Their contexts do not end by themselves. met reports whether both were open at the same
// time.
func (e *env) cross(do func(ctx context.Context, i int) error) (os []outcome, met bool) {
	ids := [2]string{e.newIdentity(), e.newIdentity()}
	in := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	var meetings atomic.Int32
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.ctx))
	defer cancel()
	os = e.together(2, func(i int) error {
		return e.store.Transaction(ctx, ids[i], func(ctx context.Context) error {
			if err := do(ctx, i); err != nil {
				return err
			}
			if meet(in[i], in[1-i]) {
				meetings.Add(1)
			}
			return e.store.Transaction(ctx, ids[1-i], func(context.Context) error { return nil })
		})
	})
	return os, meetings.Load() == 2
}

// meet waits until the other transaction arrives, too. In a store with one writer, it cannot arrive
// before this one ends.
func meet(here, there chan struct{}) bool {
	close(here)
	alone := time.NewTimer(10 * moment)
	defer alone.Stop()
	select {
	case <-there:
		return true
	case <-alone.C:
		return false
	}
}
