package storetest

import (
	"bytes"
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// redeemCases test that ConsumeToken accepts a token once.
var redeemCases = []testCase{
	{
		name: "unknown-token-is-not-found",
		explanation: "ConsumeToken of an unknown hash is ErrNotFound, and so is an empty one, or a part " +
			"of one that is known",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.requireNoToken(v.Hash, v.IssuedAt)
			e.issue(v)
			for _, hash := range [][]byte{nil, {}, v.Hash[:31], append(bytes.Clone(v.Hash), 0), bytes.Repeat([]byte{'%'}, 32)} {
				e.requireNoToken(hash, v.IssuedAt)
			}
			e.requireToken(v)
		},
	},
	{
		name:        "token-is-used-once",
		explanation: "ConsumeToken of a token that has been used is ErrNotFound",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			e.requireNoToken(v.Hash, v.IssuedAt)
		},
	},
	{
		name:        "consuming-spares-other-tokens",
		explanation: "consuming a token does not consume another one of the same identity and address",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			next := e.again(v)
			e.issue(v)
			e.issue(next)
			e.requireToken(v)
			e.requireToken(next)
		},
	},
	{
		name:        "token-is-good-before-it-expires",
		explanation: "a token is good until the microsecond before ExpiresAt",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			_, err := e.tokens().ConsumeToken(e.ctx, v.Purpose, v.Hash, v.ExpiresAt.Add(-time.Microsecond))
			require.NoError(e, err)
		},
	},
	{
		name:        "expired-token-is-not-found",
		explanation: "a token is not good any more at ExpiresAt, nor later, and asking then does not use it up",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireNoToken(v.Hash, v.ExpiresAt)
			e.requireNoToken(v.Hash, v.ExpiresAt.Add(time.Hour))
			e.requireToken(v)
		},
	},
	{
		name: "expiry-counts-in-microseconds",
		explanation: "what is finer than a microsecond does not count: a nanosecond before ExpiresAt is the " +
			"microsecond before",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			_, err := e.tokens().ConsumeToken(e.ctx, v.Purpose, v.Hash, v.ExpiresAt.Add(-time.Nanosecond))
			require.NoError(e, err)
		},
	},
	{
		name: "one-of-64-redeems",
		explanation: "of 64 calls of ConsumeToken with one token at once exactly one succeeds; for the " +
			"others it is ErrNotFound",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireOneRedeems(v, func(ctx context.Context, redeem func(context.Context) error) error { return redeem(ctx) })
		},
	},
	{
		name: "one-of-64-transactions-redeems",
		explanation: "of 64 transactions that consume one token at once exactly one succeeds; for the others it " +
			"is ErrNotFound",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireOneRedeems(v, func(ctx context.Context, redeem func(context.Context) error) error {
				return e.store.Transaction(ctx, "", redeem)
			})
		},
	},
	{
		name: "rolled-back-redemption-does-not-count",
		explanation: "if the transaction that consumed a token is rolled back, the token is valid again, so that " +
			"the user can retry",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			require.ErrorIs(e, e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
				if _, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt); err != nil {
					return err
				}
				return errOnPurpose
			}), errOnPurpose)
			e.requireToken(v)
		},
	},
	{
		name: "token-in-use-is-not-found",
		explanation: "while a transaction that has consumed a token is open, no other one can: it gets " +
			"ErrNotFound at once, not ErrUsedToken " +
			"(a store with one writer at a time may wait for the writer, and give up when ctx ends)",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			var second error
			atOnce := e.writesAtOnce()
			require.NoError(e, e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
				if _, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt); err != nil {
					return err
				}
				outside := e.ctx
				if !atOnce {
					outside = e.briefly()
				}
				_, second = e.tokens().ConsumeToken(outside, v.Purpose, v.Hash, v.IssuedAt)
				return nil
			}))
			require.Error(e, second, "the token was consumed twice")
			require.NotErrorIs(e, second, flowhook.ErrUsedToken, "nothing is committed yet")
			if atOnce {
				require.ErrorIs(e, second, flowhook.ErrNotFound)
			}
			e.requireNoToken(v.Hash, v.IssuedAt)
		},
	},
	{
		name: "creating-does-not-wait-for-a-token-in-use",
		explanation: "while a transaction that has consumed a token is open, CreateToken for its address " +
			"does not wait: the token was issued, used or not " +
			"(a store with one writer at a time may wait for the writer, and give up when ctx ends)",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			var created bool
			var err error
			atOnce := e.writesAtOnce()
			require.NoError(e, e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
				if _, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt); err != nil {
					return err
				}
				outside := e.ctx
				if !atOnce {
					outside = e.briefly()
				}
				created, err = e.tokens().CreateToken(outside, e.again(v), v.IssuedAt.Add(-time.Minute))
				return nil
			}))
			require.False(e, created)
			if atOnce {
				require.NoError(e, err)
			}
		},
	},
	{
		name: "login-and-redeem-cross",
		explanation: "a transaction that holds the identity and asks for a token, and one that has consumed the " +
			"address's token and " +
			"then joins the identity, do not wait for each other: both succeed",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			loggedIn, consumed := make(chan struct{}), make(chan struct{})
			created := false
			login := func(ctx context.Context) (err error) {
				meet(loggedIn, consumed)
				created, err = e.tokens().CreateToken(ctx, e.again(v), v.IssuedAt.Add(-time.Minute))
				return err
			}
			redeem := func(ctx context.Context) error {
				if _, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt); err != nil {
					return err
				}
				meet(consumed, loggedIn)
				return e.store.Transaction(ctx, v.IdentityID, func(context.Context) error { return nil })
			}
			os := e.together(2, func(i int) error {
				if i == 0 {
					return e.store.Transaction(e.ctx, v.IdentityID, login)
				}
				return e.store.Transaction(e.ctx, "", redeem)
			})
			require.NoError(e, os[0].err, "login")
			require.NoError(e, os[1].err, "redeem")
			require.False(e, created)
			e.requireNoToken(v.Hash, v.IssuedAt)
		},
	},
	{
		name:        "ended-context-consumes-no-token",
		explanation: "ConsumeToken is an error if ctx has ended, not ErrNotFound, and does not use the token up",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			_, err := e.tokens().ConsumeToken(e.canceled(), v.Purpose, v.Hash, v.IssuedAt)
			require.Error(e, err)
			require.NotErrorIs(e, err, flowhook.ErrNotFound)
			e.requireToken(v)
		},
	},
}

// requireOneRedeems consumes a token 64 times concurrently, each time within in.
func (e *env) requireOneRedeems(v flowhook.Token, in func(ctx context.Context, redeem func(context.Context) error) error) {
	n := 0
	for _, o := range e.together(64, func(int) error {
		return in(e.ctx, func(ctx context.Context) error {
			_, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt)
			return err
		})
	}) {
		if o.returned && o.err == nil {
			n++
		} else {
			require.ErrorIs(e, o.err, flowhook.ErrNotFound)
		}
	}
	require.Equal(e, 1, n, "successes")
}

// writesAtOnce reports whether two transactions that have both written can be open at the same
// time.
func (e *env) writesAtOnce() bool {
	first, second := e.mark(e.newIdentity()), e.mark(e.newIdentity())
	var err error
	require.ErrorIs(e, e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
		if err := first.put(ctx); err != nil {
			return err
		}
		err = second.put(e.briefly())
		return errOnPurpose
	}), errOnPurpose)
	return err == nil
}
