package storetest

import (
	"context"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// hostileText are IDs that a careless store confuses with an ID that it knows, or cannot handle.
// They are valid UTF-8 without NUL, because many databases do not accept anything else as text.
var hostileText = []string{
	"%", "_", "*", "?", " ", "\t", "'", "''", `"`, "`", `\`, "' OR '1'='1", "'; DROP TABLE sessions; --", "0", "-1", "null", "NULL",
	"\u00a0", "\u202e", "ä", "🔑", "a\r\nb", "{}", "$1", ":id", "../..", strings.Repeat("x", 10_000),
}

// sessionCases test single sessions.
var sessionCases = []testCase{
	{
		name: "session-comes-back",
		explanation: "FindSession returns a session as it was stored: the IDs, and times that are Equal, " +
			"whatever their zone",
		needs: sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			s.IssuedAt = s.IssuedAt.In(time.FixedZone("east", 5*60*60+45*60))
			s.AuthenticatedAt = s.AuthenticatedAt.In(time.FixedZone("west", -9*60*60))
			s.ExpiresAt = s.ExpiresAt.UTC()
			require.NoError(e, e.sessions().CreateSession(e.ctx, s))
			e.requireSession(s)
		},
	},
	{
		name:        "session-times-are-cut-to-microseconds",
		explanation: "times are stored with their microseconds, and what is finer is cut off: it is not rounded up",
		needs:       sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			s.AuthenticatedAt = s.AuthenticatedAt.Truncate(time.Second).Add(1 * time.Microsecond)
			s.IssuedAt = s.IssuedAt.Truncate(time.Second).Add(123_456_789 * time.Nanosecond)
			s.ExpiresAt = s.ExpiresAt.Truncate(time.Second).Add(999_999_999 * time.Nanosecond)
			require.NoError(e, e.sessions().CreateSession(e.ctx, s))
			s.IssuedAt = s.IssuedAt.Truncate(time.Microsecond)
			s.ExpiresAt = s.ExpiresAt.Truncate(time.Microsecond)
			e.requireSession(s)
		},
	},
	{
		name: "unknown-session-is-not-found",
		explanation: "FindSession of an unknown ID is ErrNotFound: any other error says that the store is in " +
			"trouble, and no error that somebody is signed in",
		needs: sessions,
		run:   func(e *env) { e.requireNoSession(e.session(e.newIdentity()).ID) },
	},
	{
		name: "session-ids-are-exact",
		explanation: "an ID is found as it was stored and not otherwise: not with other case, not with a space, " +
			"not as a pattern",
		needs: sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			s.ID = "aB" + s.ID
			require.NoError(e, e.sessions().CreateSession(e.ctx, s))
			for _, id := range append([]string{
				strings.ToLower(s.ID), strings.ToUpper(s.ID), s.ID + " ", " " + s.ID, s.ID[:len(s.ID)-1], s.ID + "A", s.ID[:8] + "%",
				"_" + s.ID[1:], "",
			}, hostileText...) {
				e.requireNoSession(id)
				require.NoError(e, e.sessions().DeleteSession(e.ctx, id), "delete %.40q", id)
			}
			e.requireSession(s)
		},
	},
	{
		name: "expired-session-is-found",
		explanation: "FindSession returns what is stored, expired or not: the caller decides about the expiry by " +
			"its own clock",
		needs: sessions,
		run: func(e *env) {
			s := e.expired(e.newIdentity())
			require.NoError(e, e.sessions().CreateSession(e.ctx, s))
			e.requireSession(s)
		},
	},
	{
		name: "duplicate-session-is-an-error",
		explanation: "CreateSession with an ID that is stored is an error, and the stored session stays as it " +
			"is: nobody's session can be overwritten",
		needs: sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			require.NoError(e, e.sessions().CreateSession(e.ctx, s))
			other := e.session(e.newIdentity())
			other.ID = s.ID
			require.Error(e, e.sessions().CreateSession(e.ctx, other))
			e.requireSession(s)
		},
	},
	{
		name:        "duplicate-session-in-one-transaction-is-an-error",
		explanation: "CreateSession with an ID that the same transaction has stored is an error too",
		needs:       sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			var second error
			err := e.store.Transaction(e.ctx, s.IdentityID, func(ctx context.Context) error {
				if err := e.sessions().CreateSession(ctx, s); err != nil {
					return err
				}
				second = e.sessions().CreateSession(ctx, s)
				return second // some databases commit nothing after an error
			})
			require.Error(e, second)
			require.ErrorIs(e, err, second)
			e.requireNoSession(s.ID)
		},
	},
	{
		name: "duplicate-of-an-uncommitted-session-is-an-error",
		explanation: "CreateSession with an ID that another transaction has stored, and not committed yet, does " +
			"not succeed " +
			"(it may wait, and give up when its ctx ends), and the first one is what is committed",
		needs: sessions,
		run: func(e *env) {
			s, other := e.session(e.newIdentity()), e.session(e.newIdentity())
			other.ID = s.ID
			var second error
			require.NoError(e, e.store.Transaction(e.ctx, s.IdentityID, func(ctx context.Context) error {
				if err := e.sessions().CreateSession(ctx, s); err != nil {
					return err
				}
				second = e.sessions().CreateSession(e.briefly(), other)
				return nil
			}))
			require.Error(e, second)
			e.requireSession(s)
		},
	},
	{
		name: "duplicate-sessions-at-once",
		explanation: "of 64 calls of CreateSession with one ID at once exactly one succeeds, and its session is " +
			"the one that is stored",
		needs: sessions,
		run: func(e *env) {
			all := make([]flowhook.Session, 64)
			id := e.newIdentity()
			for i := range all {
				all[i] = e.session(id)
				all[i].ID = all[0].ID
				all[i].ExpiresAt = all[0].ExpiresAt.Add(time.Duration(i) * time.Second)
			}
			winner := -1
			for i, o := range e.together(len(all), func(i int) error { return e.sessions().CreateSession(e.ctx, all[i]) }) {
				require.True(e, o.returned)
				if o.err == nil {
					require.Equal(e, -1, winner, "more than one succeeded")
					winner = i
				}
			}
			require.NotEqual(e, -1, winner, "none succeeded")
			e.requireSession(all[winner])
		},
	},
	{
		name:        "deleted-session-is-not-found",
		explanation: "DeleteSession deletes the session, and no other",
		needs:       sessions,
		run: func(e *env) {
			id := e.newIdentity()
			gone, stays := e.session(id), e.session(id)
			e.create(gone, stays)
			require.NoError(e, e.sessions().DeleteSession(e.ctx, gone.ID))
			e.requireNoSession(gone.ID)
			e.requireSession(stays)
		},
	},
	{
		name: "deleting-twice-is-no-error",
		explanation: "DeleteSession of an unknown ID, or of one that is deleted already, is no error: two tabs " +
			"may log out at once",
		needs: sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			require.NoError(e, e.sessions().DeleteSession(e.ctx, s.ID), "unknown")
			e.create(s)
			require.NoError(e, e.sessions().DeleteSession(e.ctx, s.ID))
			require.NoError(e, e.sessions().DeleteSession(e.ctx, s.ID), "deleted")
		},
	},
	{
		name: "deletion-is-transactional",
		explanation: "a session that a transaction has deleted is gone for that transaction, and for others when " +
			"it commits; a rollback brings it back",
		needs: sessions,
		run: func(e *env) {
			s := e.session(e.newIdentity())
			e.create(s)
			remove := func(ctx context.Context) error {
				if err := e.sessions().DeleteSession(ctx, s.ID); err != nil {
					return err
				}
				_, err := e.sessions().FindSession(ctx, s.ID)
				return err
			}
			require.ErrorIs(e, e.store.Transaction(e.ctx, s.IdentityID, remove), flowhook.ErrNotFound)
			e.requireSession(s)
			require.NoError(e, e.store.Transaction(e.ctx, s.IdentityID, func(ctx context.Context) error {
				_ = remove(ctx)
				return nil
			}))
			e.requireNoSession(s.ID)
		},
	},
	{
		name: "ended-context-leaves-sessions",
		explanation: "CreateSession, FindSession and DeleteSession are an error if ctx has ended, not " +
			"ErrNotFound, and change nothing",
		needs: sessions,
		run: func(e *env) {
			s, fresh := e.session(e.newIdentity()), e.session(e.newIdentity())
			e.create(s)
			_, find := e.sessions().FindSession(e.canceled(), s.ID)
			for _, err := range []error{
				find, e.sessions().CreateSession(e.canceled(), fresh), e.sessions().DeleteSession(e.canceled(), s.ID),
			} {
				require.Error(e, err)
				require.NotErrorIs(e, err, flowhook.ErrNotFound)
			}
			e.requireSession(s)
			e.requireNoSession(fresh.ID)
		},
	},
}

// expired returns a session that expired an hour ago.
func (e *env) expired(identityID string) flowhook.Session {
	s := e.session(identityID)
	s.AuthenticatedAt = s.AuthenticatedAt.Add(-2 * time.Hour)
	s.IssuedAt = s.IssuedAt.Add(-2 * time.Hour)
	s.ExpiresAt = s.IssuedAt.Add(time.Hour)
	return s
}

func (e *env) create(all ...flowhook.Session) {
	for _, s := range all {
		require.NoError(e, e.sessions().CreateSession(e.ctx, s))
	}
}

// requireSession requires that a session is stored unchanged.
func (e *env) requireSession(want flowhook.Session) {
	got, err := e.sessions().FindSession(e.ctx, want.ID)
	require.NoError(e, err)
	require.Equal(e, want.ID, got.ID)
	require.Equal(e, want.IdentityID, got.IdentityID)
	require.True(e, want.AuthenticatedAt.Equal(got.AuthenticatedAt), "AuthenticatedAt: want %v, got %v", want.AuthenticatedAt, got.AuthenticatedAt)
	require.True(e, want.IssuedAt.Equal(got.IssuedAt), "IssuedAt: want %v, got %v", want.IssuedAt, got.IssuedAt)
	require.True(e, want.ExpiresAt.Equal(got.ExpiresAt), "ExpiresAt: want %v, got %v", want.ExpiresAt, got.ExpiresAt)
}

func (e *env) requireNoSession(id string) {
	_, err := e.sessions().FindSession(e.ctx, id)
	require.ErrorIs(e, err, flowhook.ErrNotFound, "find %.40q", id)
}
