package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// usedTokenCases test that ConsumeToken tells a token that was used from one that is unknown.
var usedTokenCases = []testCase{
	{
		name: "used-token-is-err-used-token",
		explanation: "ConsumeToken of a token that a committed transaction has used is ErrUsedToken until the " +
			"token expires: a user who clicks twice is told so",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			require.NoError(e, e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
				_, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt)
				return err
			}))
			require.ErrorIs(e, e.consume(v, v.IssuedAt), flowhook.ErrUsedToken)
			require.ErrorIs(e, e.consume(v, v.ExpiresAt.Add(-time.Microsecond)), flowhook.ErrUsedToken)
		},
	},
	{
		name:        "used-and-expired-token-is-not-found",
		explanation: "once a used token has expired, it is ErrNotFound and not ErrUsedToken, as if it were gone",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			e.requireUnused(e.consume(v, v.ExpiresAt))
		},
	},
	{
		name: "used-token-of-other-purpose-is-not-found",
		explanation: "a used token is not ErrUsedToken for another purpose: for that, there never was such a " +
			"token",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			v.Purpose = flowhook.PurposeRecovery
			e.requireUnused(e.consume(v, v.IssuedAt))
		},
	},
	{
		name:        "deleted-used-token-is-not-found",
		explanation: "a used token that was deleted is ErrNotFound and not ErrUsedToken",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			e.deleteToken(v.Hash)
			e.requireUnused(e.consume(v, v.IssuedAt))
		},
	},
	{
		name: "all-of-64-see-a-used-token",
		explanation: "64 transactions at once that consume a used token all get ErrUsedToken: looking at a used " +
			"token is not using it",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			for _, o := range e.together(64, func(int) error {
				return e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
					_, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt)
					return err
				})
			}) {
				require.ErrorIs(e, o.err, flowhook.ErrUsedToken)
			}
		},
	},
}

func (e *env) consume(v flowhook.Token, now time.Time) error {
	_, err := e.tokens().ConsumeToken(e.ctx, v.Purpose, v.Hash, now)
	return err
}

// requireUnused requires an ErrNotFound that is not an ErrUsedToken.
func (e *env) requireUnused(err error) {
	require.ErrorIs(e, err, flowhook.ErrNotFound)
	require.NotErrorIs(e, err, flowhook.ErrUsedToken)
}
