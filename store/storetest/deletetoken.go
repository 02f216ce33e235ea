package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// deleteTokenCases test DeleteToken: an email that was never sent does not count.
var deleteTokenCases = []testCase{
	{
		name: "deleted-token-does-not-count",
		explanation: "after DeleteToken, another token for the address can be created at once: the email " +
			"was never sent",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.deleteToken(v.Hash)
			e.requireCreated(true, e.again(v), v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name:        "deleted-token-is-not-found",
		explanation: "ConsumeToken of a deleted token is ErrNotFound",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.deleteToken(v.Hash)
			e.requireNoToken(v.Hash, v.IssuedAt)
		},
	},
	{
		name:        "deleted-used-token-does-not-count",
		explanation: "DeleteToken deletes a token that was used, too",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			e.requireToken(v)
			e.deleteToken(v.Hash)
			e.requireCreated(true, e.again(v), v.IssuedAt.Add(-time.Minute))
		},
	},
	{
		name:        "deleting-no-token-is-no-error",
		explanation: "DeleteToken of an unknown, an empty or a deleted hash is no error",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.deleteToken(v.Hash)
			e.deleteToken(nil)
			e.issue(v)
			e.deleteToken(v.Hash)
			e.deleteToken(v.Hash)
		},
	},
	{
		name: "deleting-spares-other-tokens",
		explanation: "DeleteToken deletes no other token of the same identity and address, nor one whose " +
			"hash begins with the same bytes",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			next := e.again(v)
			e.issue(v)
			e.issue(next)
			e.deleteToken(v.Hash)
			e.deleteToken(next.Hash[:31])
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
			e.requireToken(next)
		},
	},
	{
		name: "rolled-back-deletion-does-not-count",
		explanation: "DeleteToken is part of the transaction of its context: it counts there at once, and " +
			"not at all after a rollback",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			var again bool
			require.ErrorIs(e, e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) (err error) {
				if err := e.tokens().DeleteToken(ctx, v.Hash); err != nil {
					return err
				}
				if again, err = e.tokens().CreateToken(ctx, e.again(v), v.IssuedAt.Add(-time.Minute)); err != nil {
					return err
				}
				return errOnPurpose
			}), errOnPurpose)
			require.True(e, again, "the deleted token counts in its own transaction")
			e.requireCreated(false, e.again(v), v.IssuedAt.Add(-time.Minute))
			e.requireToken(v)
		},
	},
	{
		name: "token-in-use-is-not-deleted",
		explanation: "while a transaction that has consumed a token is open, DeleteToken does not wait: " +
			"it leaves the token, which is used " +
			"after a commit, and good after a rollback (a store with one writer at a time may wait for the writer, and give up when ctx ends)",
		needs: tokens,
		run: func(e *env) {
			used, good := e.token(e.newIdentity()), e.token(e.newIdentity())
			e.issue(used)
			e.issue(good)
			atOnce := e.writesAtOnce()
			var deleted error
			deleteInUse := func(v flowhook.Token, result error) error {
				return e.store.Transaction(e.ctx, "", func(ctx context.Context) error {
					if _, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt); err != nil {
						return err
					}
					outside := e.ctx
					if !atOnce {
						outside = e.briefly()
					}
					deleted = e.tokens().DeleteToken(outside, v.Hash)
					return result
				})
			}
			require.NoError(e, deleteInUse(used, nil))
			if atOnce {
				require.NoError(e, deleted)
			}
			e.requireNoToken(used.Hash, used.IssuedAt)
			e.requireCreated(false, e.again(used), used.IssuedAt.Add(-time.Minute))
			require.ErrorIs(e, deleteInUse(good, errOnPurpose), errOnPurpose)
			e.requireToken(good)
		},
	},
	{
		name:        "ended-context-deletes-no-token",
		explanation: "DeleteToken is an error if ctx has ended, and changes nothing",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			err := e.tokens().DeleteToken(e.canceled(), v.Hash)
			require.Error(e, err)
			require.NotErrorIs(e, err, flowhook.ErrNotFound)
			e.requireToken(v)
		},
	},
}

func (e *env) deleteToken(hash []byte) {
	require.NoError(e, e.tokens().DeleteToken(e.ctx, hash))
}
