package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// attemptCases test that no guess of a code is lost from the count.
var attemptCases = []testCase{
	{
		name:        "attempts-count-up",
		explanation: "CountAttempt returns 1, 2, 3, whether the code was used or not",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireAttempt(1, v, v.IssuedAt)
			e.requireAttempt(2, v, v.IssuedAt)
			e.requireToken(v)
			e.requireAttempt(3, v, v.IssuedAt)
		},
	},
	{
		name:        "attempts-are-separate",
		explanation: "attempts count for their own purpose, identity and address (Via and Value) only",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireAttempt(1, v, v.IssuedAt)
			purpose, identity, value, via := e.again(v), e.again(v), e.again(v), e.again(v)
			purpose.Purpose = flowhook.PurposeRecovery
			identity.IdentityID = e.newIdentity()
			value.Address.Value = "x" + v.Address.Value
			via.Address.Via = "sms"
			for _, other := range []flowhook.Token{purpose, identity, value, via} {
				e.requireAttempt(1, other, v.IssuedAt)
			}
			e.requireAttempt(2, v, v.IssuedAt)
		},
	},
	{
		name: "attempts-count-spellings-as-one",
		explanation: "attempts for another spelling of a mailbox count: compare Address.Key, and ignore the " +
			"verified mark",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.Address.Value = spelling(0)
			e.issue(v)
			for i := range spellings {
				next := e.again(v)
				next.Address = flowhook.Address{Via: "email", Value: spelling(i), Verified: i%2 == 1}
				e.requireAttempt(i+1, next, v.IssuedAt)
			}
		},
	},
	{
		name: "newer-token-restarts-attempts",
		explanation: "CountAttempt counts from 1 again after a newer token for the purpose, identity and address, " +
			"used or not, also if its address is spelled in another way",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.Address.Value = spelling(0)
			e.issue(v)
			e.requireAttempt(1, v, v.IssuedAt)
			e.requireAttempt(2, v, v.IssuedAt)
			for i, used := range []bool{false, true} {
				next := e.again(v)
				next.Address.Value = spelling(i + 1)
				next.IssuedAt = v.IssuedAt.Add(time.Duration(i+1) * time.Microsecond)
				e.issue(next)
				if used {
					e.requireToken(next)
				}
				e.requireAttempt(1, v, next.IssuedAt)
				e.requireAttempt(2, v, next.IssuedAt)
			}
		},
	},
	{
		name: "other-tokens-restart-no-attempts",
		explanation: "a token restarts the count only if it is newer than the newest at the last attempt, and for " +
			"the same purpose, identity and address",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireAttempt(1, v, v.IssuedAt)
			older, same := e.again(v), e.again(v)
			older.IssuedAt = v.IssuedAt.Add(-time.Minute)
			purpose, identity, value := e.again(v), e.again(v), e.again(v)
			purpose.Purpose = flowhook.PurposeRecovery
			identity.IdentityID = e.newIdentity()
			value.Address.Value = "x" + v.Address.Value
			for _, other := range []*flowhook.Token{&purpose, &identity, &value} {
				other.IssuedAt = v.IssuedAt.Add(time.Second)
			}
			for i, other := range []flowhook.Token{older, same, purpose, identity, value} {
				e.requireCreated(true, other, v.IssuedAt)
				e.requireAttempt(i+2, v, v.IssuedAt.Add(time.Second))
			}
		},
	},
	{
		name: "attempts-without-a-token-count-on",
		explanation: "CountAttempt counts on if there is no token, or if the newer one has expired: asking for a " +
			"code that nobody can use brings no more guesses",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.requireAttempt(1, v, v.IssuedAt)
			e.requireAttempt(2, v, v.IssuedAt)
			e.issue(v)
			e.requireAttempt(3, v, v.ExpiresAt)
			e.requireAttempt(1, v, v.ExpiresAt.Add(-time.Nanosecond))
			e.requireAttempt(2, v, v.ExpiresAt)
		},
	},
	{
		name: "attempts-survive-a-rollback",
		explanation: "an attempt counts although the transaction that follows is rolled back, as it is after a " +
			"wrong guess",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			for i := range 3 {
				e.requireAttempt(i+1, v, v.IssuedAt)
				require.ErrorIs(e, e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) error {
					if _, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt); err != nil {
						return err
					}
					return errOnPurpose
				}), errOnPurpose)
			}
			e.requireToken(v)
		},
	},
	{
		name: "attempt-in-a-transaction-is-an-error",
		explanation: "CountAttempt with the context of a Transaction is an error, and counts nothing: a rollback " +
			"would undo the count",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			var err error
			require.ErrorIs(e, e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) error {
				_, err = e.count(ctx, v, v.IssuedAt)
				return errOnPurpose
			}), errOnPurpose)
			require.Error(e, err)
			e.requireAttempt(1, v, v.IssuedAt)
		},
	},
	{
		name: "64-attempts-at-once",
		explanation: "64 calls of CountAttempt at once return the numbers 1 to 64, and none fails: each guess " +
			"more than the limit is noticed",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			counts := make([]int, 64)
			for _, o := range e.together(len(counts), func(i int) (err error) {
				counts[i], err = e.count(e.ctx, v, v.IssuedAt)
				return err
			}) {
				require.NoError(e, o.err)
			}
			slices.Sort(counts)
			for i, n := range counts {
				require.Equal(e, i+1, n, "all counts: %v", counts)
			}
		},
	},
	{
		name: "attempts-do-not-use-the-token",
		explanation: "while attempts are counted, ConsumeToken finds the token: a stranger's guesses must not " +
			"take the owner's code out of use",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			guessing, stop := context.WithCancel(e.ctx)
			defer stop()
			counted := make(chan error, guessers)
			var ended []<-chan outcome
			for range guessers {
				ended = append(ended, start(func() error {
					_, err := e.count(e.ctx, v, v.IssuedAt)
					counted <- err
					for err == nil && guessing.Err() == nil {
						_, err = e.count(e.ctx, v, v.IssuedAt)
					}
					return err
				}))
			}
			for range guessers {
				require.NoError(e, e.wait(start(func() error { return <-counted })).err)
			}
			for range 16 {
				require.ErrorIs(e, e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
					if _, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt); err != nil {
						return err
					}
					return errOnPurpose
				}), errOnPurpose)
			}
			stop()
			for _, guesser := range ended {
				require.NoError(e, e.wait(guesser).err)
			}
			e.requireToken(v)
		},
	},
	{
		name:        "ended-context-counts-no-attempt",
		explanation: "CountAttempt is an error if ctx has ended, and counts nothing",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			_, err := e.count(e.canceled(), v, v.IssuedAt)
			require.Error(e, err)
			require.NotErrorIs(e, err, flowhook.ErrNotFound)
			e.requireAttempt(1, v, v.IssuedAt)
		},
	},
}

// guessers is the number of clients that guess one code in a case.
const guessers = 4

// count counts an attempt to guess the token, or another one for its purpose, identity and address.
func (e *env) count(ctx context.Context, v flowhook.Token, now time.Time) (int, error) {
	return e.tokens().CountAttempt(ctx, v.Purpose, v.IdentityID, v.Address, now)
}

func (e *env) requireAttempt(want int, v flowhook.Token, now time.Time) {
	n, err := e.count(e.ctx, v, now)
	require.NoError(e, err)
	require.Equal(e, want, n, "attempts")
}
