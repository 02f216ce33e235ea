package storetest

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// revokeCases test DeleteSessions.
var revokeCases = []testCase{
	{
		name:        "revoking-nothing-is-no-error",
		explanation: "DeleteSessions of an identity that has no sessions, without an exception, is no error",
		needs:       revoker,
		run: func(e *env) {
			require.NoError(e, e.revoker().DeleteSessions(e.ctx, e.newIdentity(), ""))
		},
	},
	{
		name:        "sparing-an-unknown-session-is-not-found",
		explanation: "DeleteSessions with an exception that does not exist is ErrNotFound",
		needs:       revoker,
		run: func(e *env) {
			unknown := e.session(e.newIdentity())
			require.ErrorIs(e, e.revoker().DeleteSessions(e.ctx, unknown.IdentityID, unknown.ID), flowhook.ErrNotFound)
		},
	},
	{
		name: "revoking-with-ended-context-is-an-error",
		explanation: "DeleteSessions is an error if ctx has ended: the caller must not believe that the sessions " +
			"are gone",
		needs: revoker,
		run: func(e *env) {
			err := e.revoker().DeleteSessions(e.canceled(), e.newIdentity(), "")
			require.Error(e, err)
			require.NotErrorIs(e, err, flowhook.ErrNotFound)
		},
	},
	{
		name:        "revoke-all",
		explanation: "DeleteSessions without an exception deletes all sessions of the identity",
		needs:       sessions,
		run: func(e *env) {
			mine := e.several(e.newIdentity())
			require.NoError(e, e.sessions().DeleteSessions(e.ctx, mine[0].IdentityID, ""))
			for _, s := range mine {
				e.requireNoSession(s.ID)
			}
		},
	},
	{
		name:        "revoke-all-but-one",
		explanation: "DeleteSessions deletes all sessions of the identity but the exception",
		needs:       sessions,
		run: func(e *env) {
			mine := e.several(e.newIdentity())
			require.NoError(e, e.sessions().DeleteSessions(e.ctx, mine[1].IdentityID, mine[1].ID))
			e.requireNoSession(mine[0].ID)
			e.requireSession(mine[1])
			e.requireNoSession(mine[2].ID)
		},
	},
	{
		name:        "revoke-spares-other-identities",
		explanation: "DeleteSessions touches no session of another identity",
		needs:       sessions,
		run: func(e *env) {
			mine, theirs := e.several(e.newIdentity()), e.several(e.newIdentity())
			require.NoError(e, e.sessions().DeleteSessions(e.ctx, mine[0].IdentityID, ""))
			for _, s := range theirs {
				e.requireSession(s)
			}
		},
	},
	{
		name: "revoke-includes-expired",
		explanation: "DeleteSessions deletes expired sessions too: a clock that is set back must not bring one " +
			"back to life",
		needs: sessions,
		run: func(e *env) {
			s := e.expired(e.newIdentity())
			e.create(s)
			require.NoError(e, e.sessions().DeleteSessions(e.ctx, s.IdentityID, ""))
			e.requireNoSession(s.ID)
		},
	},
	{
		name:        "revoke-may-spare-an-expired-session",
		explanation: "the exception of DeleteSessions may be expired: the store does not judge expiry",
		needs:       sessions,
		run: func(e *env) {
			s := e.expired(e.newIdentity())
			e.create(s)
			require.NoError(e, e.sessions().DeleteSessions(e.ctx, s.IdentityID, s.ID))
			e.requireSession(s)
		},
	},
	{
		name: "revoke-but-unknown-deletes-nothing",
		explanation: "if exceptID does not exist, nothing is deleted: otherwise a login that lost a race would " +
			"sign out the winner",
		needs: sessions,
		run: func(e *env) {
			mine := e.several(e.newIdentity())
			unknown := e.session(mine[0].IdentityID)
			require.ErrorIs(e, e.sessions().DeleteSessions(e.ctx, unknown.IdentityID, unknown.ID), flowhook.ErrNotFound)
			for _, s := range mine {
				e.requireSession(s)
			}
		},
	},
	{
		name:        "revoke-but-deleted-deletes-nothing",
		explanation: "an exception that has been deleted is as unknown as any: ErrNotFound, and nothing is deleted",
		needs:       sessions,
		run: func(e *env) {
			mine := e.several(e.newIdentity())
			require.NoError(e, e.sessions().DeleteSession(e.ctx, mine[0].ID))
			require.ErrorIs(e, e.sessions().DeleteSessions(e.ctx, mine[0].IdentityID, mine[0].ID), flowhook.ErrNotFound)
			e.requireSession(mine[1])
			e.requireSession(mine[2])
		},
	},
	{
		name: "revoke-but-foreign-deletes-nothing",
		explanation: "an exception that is a session of another identity is ErrNotFound, and nothing is deleted " +
			"of either",
		needs: sessions,
		run: func(e *env) {
			mine, theirs := e.several(e.newIdentity()), e.several(e.newIdentity())
			require.ErrorIs(e, e.sessions().DeleteSessions(e.ctx, mine[0].IdentityID, theirs[0].ID), flowhook.ErrNotFound)
			for _, s := range append(mine, theirs...) {
				e.requireSession(s)
			}
		},
	},
	{
		name: "revoke-takes-ids-literally",
		explanation: "DeleteSessions with IDs that nobody has, whatever is in them, deletes nothing; a session's " +
			"ID is " +
			"ErrNotFound (an identity's that the host could not have given out may be any error, or none)",
		needs: sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			e.create(s)
			for _, text := range hostileText {
				require.ErrorIs(e, e.sessions().DeleteSessions(e.ctx, s.IdentityID, text), flowhook.ErrNotFound, "sparing %.40q", text)
				_ = e.sessions().DeleteSessions(e.ctx, text, "")
			}
			e.requireSession(s)
		},
	},
	{
		name:        "revoke-sees-the-transaction",
		explanation: "in a transaction, DeleteSessions spares and deletes what the transaction itself has created",
		needs:       sessions,
		run: func(e *env) {
			old := e.several(e.newIdentity())
			spare, extra := e.session(old[0].IdentityID), e.session(old[0].IdentityID)
			require.NoError(e, e.store.Transaction(e.ctx, spare.IdentityID, func(ctx context.Context) error {
				for _, s := range []flowhook.Session{extra, spare} {
					if err := e.sessions().CreateSession(ctx, s); err != nil {
						return err
					}
				}
				return e.sessions().DeleteSessions(ctx, spare.IdentityID, spare.ID)
			}))
			e.requireSession(spare)
			for _, s := range append(old, extra) {
				e.requireNoSession(s.ID)
			}
		},
	},
	{
		name:        "revoke-is-rolled-back",
		explanation: "if the transaction fails, the sessions that DeleteSessions deleted in it exist again",
		needs:       sessions,
		run: func(e *env) {
			mine := e.several(e.newIdentity())
			require.ErrorIs(e, e.store.Transaction(e.ctx, mine[0].IdentityID, func(ctx context.Context) error {
				if err := e.sessions().DeleteSessions(ctx, mine[0].IdentityID, mine[0].ID); err != nil {
					return err
				}
				return errOnPurpose
			}), errOnPurpose)
			for _, s := range mine {
				e.requireSession(s)
			}
		},
	},
	{
		name:        "revoke-with-ended-context-deletes-nothing",
		explanation: "DeleteSessions changes nothing if ctx has ended",
		needs:       sessions,
		run: func(e *env) {
			mine := e.several(e.newIdentity())
			require.Error(e, e.sessions().DeleteSessions(e.canceled(), mine[0].IdentityID, ""))
			for _, s := range mine {
				e.requireSession(s)
			}
		},
	},
	{
		name: "one-login-survives",
		explanation: "of 64 transactions of one identity at once, each of which creates a session and deletes " +
			"all others, all succeed and " +
			"one session is left: a transaction must see what was committed while it waited",
		needs: sessions,
		run: func(e *env) {
			id := e.newIdentity()
			all := make([]flowhook.Session, 64)
			for i := range all {
				all[i] = e.session(id)
			}
			for _, o := range e.together(len(all), func(i int) error {
				return e.store.Transaction(e.ctx, id, func(ctx context.Context) error {
					if err := e.sessions().CreateSession(ctx, all[i]); err != nil {
						return err
					}
					return e.sessions().DeleteSessions(ctx, id, all[i].ID)
				})
			}) {
				require.NoError(e, o.err)
			}
			left := 0
			for _, s := range all {
				if _, err := e.sessions().FindSession(e.ctx, s.ID); err == nil {
					left++
				}
			}
			require.Equal(e, 1, left, "sessions left")
		},
	},
}

func (e *env) revoker() flowhook.SessionRevoker { return e.store.(flowhook.SessionRevoker) }

// several creates three sessions of an identity.
func (e *env) several(identityID string) []flowhook.Session {
	all := []flowhook.Session{e.session(identityID), e.session(identityID), e.session(identityID)}
	e.create(all...)
	return all
}
