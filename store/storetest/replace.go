package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// replaceCases test ReplaceSession.
var replaceCases = []testCase{
	{
		name: "replaced-sessions-are-gone",
		explanation: "ReplaceSession deletes all sessions in old, whoever's they are, and no other session of " +
			"these identities",
		needs: replacer,
		run: func(e *env) {
			mine, theirs := e.several(e.newIdentity()), e.several(e.newIdentity())
			fresh := e.session(mine[0].IdentityID)
			e.replace([]string{mine[0].ID, theirs[1].ID, mine[2].ID}, fresh)
			for _, s := range []flowhook.Session{mine[0], theirs[1], mine[2]} {
				e.requireNoSession(s.ID)
			}
			for _, s := range []flowhook.Session{mine[1], theirs[0], theirs[2], fresh} {
				e.requireSession(s)
			}
		},
	},
	{
		name:        "replacing-session-comes-back",
		explanation: "ReplaceSession stores a session like CreateSession, with times cut to microseconds",
		needs:       replacer,
		run: func(e *env) {
			old := e.session(e.newIdentity())
			e.create(old)
			fresh := e.session(e.newIdentity())
			fresh.AuthenticatedAt = fresh.AuthenticatedAt.In(time.FixedZone("west", -9*60*60))
			fresh.IssuedAt = fresh.IssuedAt.Truncate(time.Second).Add(123_456_789 * time.Nanosecond)
			fresh.ExpiresAt = fresh.ExpiresAt.Truncate(time.Second).Add(999_999_999 * time.Nanosecond)
			e.replace([]string{old.ID}, fresh)
			fresh.IssuedAt = fresh.IssuedAt.Truncate(time.Microsecond)
			fresh.ExpiresAt = fresh.ExpiresAt.Truncate(time.Microsecond)
			e.requireSession(fresh)
		},
	},
	{
		name: "replacing-unknown-sessions-is-no-error",
		explanation: "IDs in old that are unknown, deleted or there twice are no error, and are taken literally: " +
			"a session may have ended meanwhile",
		needs: replacer,
		run: func(e *env) {
			id := e.newIdentity()
			unknown, deleted, stays := e.session(id), e.session(id), e.session(id)
			e.create(deleted, stays)
			require.NoError(e, e.sessions().DeleteSession(e.ctx, deleted.ID))
			fresh := []flowhook.Session{e.session(id), e.session(id), e.session(id)}
			e.replace([]string{unknown.ID}, fresh[0])
			e.replace([]string{deleted.ID, "", fresh[0].ID, fresh[0].ID}, fresh[1])
			e.replace(hostileText, fresh[2])
			e.requireNoSession(fresh[0].ID)
			for _, s := range []flowhook.Session{fresh[1], fresh[2], stays} {
				e.requireSession(s)
			}
		},
	},
	{
		name: "replacing-by-a-duplicate-is-an-error",
		explanation: "ReplaceSession with an ID that is already stored is an error, and deletes and changes " +
			"nothing: otherwise a sign-in that failed would sign the user out",
		needs: replacer,
		run: func(e *env) {
			old, stored := e.several(e.newIdentity()), e.session(e.newIdentity())
			e.create(stored)
			fresh := e.session(old[0].IdentityID)
			fresh.ID = stored.ID
			require.Error(e, e.replacer().ReplaceSession(e.ctx, []string{old[0].ID, old[1].ID}, fresh))
			for _, s := range append(old, stored) {
				e.requireSession(s)
			}
		},
	},
	{
		name: "replacing-by-the-same-id-is-an-error",
		explanation: "ReplaceSession with an ID that is in old, stored or not, is an error and changes nothing: " +
			"an attacker who knows the ID of a session must not know that of the next one",
		needs: replacer,
		run: func(e *env) {
			old := e.several(e.newIdentity())
			same, unknown := e.session(old[0].IdentityID), e.session(old[0].IdentityID)
			same.ID = old[1].ID
			require.Error(e, e.replacer().ReplaceSession(e.ctx, []string{old[0].ID, old[1].ID}, same))
			require.Error(e, e.replacer().ReplaceSession(e.ctx, []string{old[0].ID, unknown.ID}, unknown))
			e.requireNoSession(unknown.ID)
			for _, s := range old {
				e.requireSession(s)
			}
		},
	},
	{
		name: "failed-replacement-in-a-transaction-changes-nothing",
		explanation: "if ReplaceSession fails in a transaction that is then committed nevertheless (some databases " +
			"refuse that), nothing has changed",
		needs: replacer,
		run: func(e *env) {
			old, stored := e.several(e.newIdentity()), e.session(e.newIdentity())
			e.create(stored)
			fresh := e.session(old[0].IdentityID)
			fresh.ID = stored.ID
			var failed error
			_ = e.store.Transaction(e.ctx, fresh.IdentityID, func(ctx context.Context) error {
				failed = e.replacer().ReplaceSession(ctx, []string{old[0].ID, old[1].ID}, fresh)
				return nil
			})
			require.Error(e, failed)
			for _, s := range append(old, stored) {
				e.requireSession(s)
			}
		},
	},
	{
		name: "replacement-is-transactional",
		explanation: "ReplaceSession is part of the transaction of its context: it counts there at once, and for " +
			"others when that commits; a rollback undoes all of it",
		needs: replacer,
		run: func(e *env) {
			old := e.session(e.newIdentity())
			e.create(old)
			inside, fresh := e.session(old.IdentityID), e.session(old.IdentityID)
			replace := func(result error) error {
				return e.store.Transaction(e.ctx, old.IdentityID, func(ctx context.Context) error {
					if err := e.sessions().CreateSession(ctx, inside); err != nil {
						return err
					}
					if err := e.replacer().ReplaceSession(ctx, []string{old.ID, inside.ID}, fresh); err != nil {
						return err
					}
					for _, id := range []string{old.ID, inside.ID} {
						if _, err := e.sessions().FindSession(ctx, id); !errors.Is(err, flowhook.ErrNotFound) {
							return errors.Join(errors.New("a replaced session is seen in the transaction"), err)
						}
					}
					if _, err := e.sessions().FindSession(ctx, fresh.ID); err != nil {
						return err
					}
					return result
				})
			}
			require.ErrorIs(e, replace(errOnPurpose), errOnPurpose)
			e.requireSession(old)
			e.requireNoSession(fresh.ID)
			require.NoError(e, replace(nil))
			e.requireNoSession(old.ID)
			e.requireNoSession(inside.ID)
			e.requireSession(fresh)
		},
	},
	{
		name: "replacements-of-one-session-at-once",
		explanation: "64 calls of ReplaceSession for one old session at once all succeed, as if the user signs in " +
			"in several tabs: the old session is gone, and all new ones are stored",
		needs: replacer,
		run: func(e *env) {
			old := e.session(e.newIdentity())
			e.create(old)
			fresh := make([]flowhook.Session, 64)
			for i := range fresh {
				fresh[i] = e.session(old.IdentityID)
			}
			for _, o := range e.together(len(fresh), func(i int) error {
				return e.replacer().ReplaceSession(e.ctx, []string{old.ID}, fresh[i])
			}) {
				require.True(e, o.returned)
				require.NoError(e, o.err)
			}
			e.requireNoSession(old.ID)
			for _, s := range fresh {
				e.requireSession(s)
			}
		},
	},
	{
		name: "replacements-by-one-id-at-once",
		explanation: "of 64 calls of ReplaceSession with one new ID at once exactly one succeeds; the old sessions " +
			"of the others stay",
		needs: replacer,
		run: func(e *env) {
			id := e.newIdentity()
			old, fresh := make([]flowhook.Session, 64), make([]flowhook.Session, 64)
			for i := range fresh {
				old[i], fresh[i] = e.session(id), e.session(id)
				fresh[i].ID = fresh[0].ID
				fresh[i].ExpiresAt = fresh[0].ExpiresAt.Add(time.Duration(i) * time.Second)
			}
			e.create(old...)
			winner := -1
			for i, o := range e.together(len(fresh), func(i int) error {
				return e.replacer().ReplaceSession(e.ctx, []string{old[i].ID}, fresh[i])
			}) {
				require.True(e, o.returned)
				if o.err == nil {
					require.Equal(e, -1, winner, "more than one succeeded")
					winner = i
				}
			}
			require.NotEqual(e, -1, winner, "none succeeded")
			e.requireSession(fresh[winner])
			e.requireNoSession(old[winner].ID)
			for i, s := range old {
				if i != winner {
					e.requireSession(s)
				}
			}
		},
	},
	{
		name:        "ended-context-replaces-nothing",
		explanation: "ReplaceSession is an error if ctx has ended, and changes nothing",
		needs:       replacer,
		run: func(e *env) {
			old := e.session(e.newIdentity())
			e.create(old)
			fresh := e.session(old.IdentityID)
			err := e.replacer().ReplaceSession(e.canceled(), []string{old.ID}, fresh)
			require.Error(e, err)
			require.NotErrorIs(e, err, flowhook.ErrNotFound)
			e.requireSession(old)
			e.requireNoSession(fresh.ID)
		},
	},
}

func (e *env) replacer() flowhook.SessionReplacer { return e.store.(flowhook.SessionReplacer) }

func (e *env) replace(old []string, fresh flowhook.Session) {
	require.NoError(e, e.replacer().ReplaceSession(e.ctx, old, fresh))
}
