package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
)

// keepsTimes breaks the times that sessions and tokens are stored with.
func keepsTimes(change func(time.Time) time.Time) func(b *broken) {
	return func(b *broken) {
		b.createSession = func(ctx context.Context, s flowhook.Session) error {
			s.AuthenticatedAt, s.IssuedAt, s.ExpiresAt = change(s.AuthenticatedAt), change(s.IssuedAt), change(s.ExpiresAt)
			return b.Store.CreateSession(ctx, s)
		}
		b.replace = func(ctx context.Context, old []string, s flowhook.Session) error {
			s.AuthenticatedAt, s.IssuedAt, s.ExpiresAt = change(s.AuthenticatedAt), change(s.IssuedAt), change(s.ExpiresAt)
			return b.Store.ReplaceSession(ctx, old, s)
		}
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			v.IssuedAt, v.ExpiresAt = change(v.IssuedAt), change(v.ExpiresAt)
			return b.Store.CreateToken(ctx, v, notSince)
		}
	}
}

// lasting breaks DeleteSessions by what it puts back of the sessions that it should have deleted.
func lasting(puts func(deleted []flowhook.Session) []flowhook.Session) func(b *broken) {
	return func(b *broken) {
		b.deleteSessions = func(ctx context.Context, identityID, exceptID string) error {
			before := b.sessionsOf(ctx, identityID)
			if err := b.Store.DeleteSessions(ctx, identityID, exceptID); err != nil {
				return err
			}
			var deleted []flowhook.Session
			for _, s := range before {
				if s.ID != exceptID {
					deleted = append(deleted, s)
				}
			}
			for _, s := range puts(deleted) {
				if err := b.Store.CreateSession(ctx, s); err != nil {
					return err
				}
			}
			return nil
		}
	}
}

// revokes breaks DeleteSessions where it is ErrNotFound.
func revokes(instead func(b *broken, ctx context.Context, identityID, exceptID string) error) func(b *broken) {
	return func(b *broken) {
		b.deleteSessions = func(ctx context.Context, identityID, exceptID string) error {
			err := b.Store.DeleteSessions(ctx, identityID, exceptID)
			if errors.Is(err, flowhook.ErrNotFound) {
				return instead(b, ctx, identityID, exceptID)
			}
			return err
		}
	}
}

// revokesAll deletes the sessions of everybody.
func (b *broken) revokesAll(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.created {
		_ = b.Store.DeleteSession(ctx, s.ID)
	}
}

var brokenSessions = []brokenStore{
	{"forgets the zone", []string{"session-comes-back", "replacing-session-comes-back", "token-comes-back"}, keepsTimes(func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	})},
	{
		"cuts times to seconds", []string{"session-times-are-cut-to-microseconds", "token-times-are-cut-to-microseconds"},
		keepsTimes(func(t time.Time) time.Time { return t.Truncate(time.Second) }),
	},
	{
		"rounds times", []string{"session-times-are-cut-to-microseconds", "replacing-session-comes-back", "token-times-are-cut-to-microseconds"},
		keepsTimes(func(t time.Time) time.Time { return t.Round(time.Microsecond) }),
	},
	{"finds what is not there", []string{"unknown-session-is-not-found", "deleted-session-is-not-found"}, func(b *broken) {
		b.findSession = func(ctx context.Context, id string) (flowhook.Session, error) {
			s, err := b.Store.FindSession(ctx, id)
			if errors.Is(err, flowhook.ErrNotFound) {
				err = nil
			}
			return s, err
		}
	}},
	{"hides the cause", []string{"unknown-session-is-not-found"}, func(b *broken) {
		b.findSession = func(ctx context.Context, id string) (flowhook.Session, error) {
			s, err := b.Store.FindSession(ctx, id)
			if err != nil {
				err = errors.New("no rows")
			}
			return s, err
		}
	}},
	{"ignores trailing spaces", []string{"session-ids-are-exact"}, func(b *broken) {
		b.findSession = func(ctx context.Context, id string) (flowhook.Session, error) {
			return b.Store.FindSession(ctx, strings.TrimRight(id, " "))
		}
	}},
	{"hides expired sessions", []string{"expired-session-is-found"}, func(b *broken) {
		b.findSession = func(ctx context.Context, id string) (flowhook.Session, error) {
			s, err := b.Store.FindSession(ctx, id)
			if err == nil && !time.Now().Before(s.ExpiresAt) {
				return flowhook.Session{}, flowhook.ErrNotFound
			}
			return s, err
		}
	}},
	{"upserts on a duplicate", []string{"duplicate-session-is-an-error", "duplicate-session-in-one-transaction-is-an-error", "duplicate-sessions-at-once"}, func(b *broken) {
		var mu sync.Mutex
		b.createSession = func(ctx context.Context, s flowhook.Session) error {
			mu.Lock()
			defer mu.Unlock()
			if err := b.Store.DeleteSession(ctx, s.ID); err != nil {
				return err
			}
			return b.Store.CreateSession(ctx, s)
		}
	}},
	{
		"ignores a duplicate",
		[]string{"duplicate-session-is-an-error", "duplicate-session-in-one-transaction-is-an-error", "duplicate-of-an-uncommitted-session-is-an-error", "duplicate-sessions-at-once"},
		func(b *broken) {
			b.createSession = func(ctx context.Context, s flowhook.Session) error {
				_ = b.Store.CreateSession(ctx, s)
				return nil
			}
		},
	},
	{"deletes nothing", []string{"deleted-session-is-not-found", "deletion-is-transactional"}, func(b *broken) {
		b.deleteSession = func(context.Context, string) error { return nil }
	}},
	{"misses what it should delete", []string{"deleting-twice-is-no-error"}, func(b *broken) {
		b.deleteSession = func(ctx context.Context, id string) error {
			if _, err := b.Store.FindSession(ctx, id); err != nil {
				return err
			}
			return b.Store.DeleteSession(ctx, id)
		}
	}},
	{"misses sessions to revoke", []string{"revoking-nothing-is-no-error"}, func(b *broken) {
		b.deleteSessions = func(ctx context.Context, identityID, exceptID string) error {
			if len(b.sessionsOf(ctx, identityID)) == 0 {
				return flowhook.ErrNotFound
			}
			return b.Store.DeleteSessions(ctx, identityID, exceptID)
		}
	}},
	{"keeps one session too many", []string{"revoke-all", "revoke-all-but-one", "one-login-survives"}, lasting(func(deleted []flowhook.Session) []flowhook.Session {
		return deleted[:min(1, len(deleted))]
	})},
	{"keeps expired sessions", []string{"revoke-includes-expired"}, lasting(func(deleted []flowhook.Session) (expired []flowhook.Session) {
		for _, s := range deleted {
			if s.ExpiresAt.Before(time.Now()) {
				expired = append(expired, s)
			}
		}
		return expired
	})},
	{"spares nothing", []string{"revoke-all-but-one", "revoke-may-spare-an-expired-session"}, func(b *broken) {
		b.deleteSessions = func(ctx context.Context, identityID, _ string) error {
			return b.Store.DeleteSessions(ctx, identityID, "")
		}
	}},
	{"does not spare an expired session", []string{"revoke-may-spare-an-expired-session"}, func(b *broken) {
		b.deleteSessions = func(ctx context.Context, identityID, exceptID string) error {
			if s, err := b.Store.FindSession(ctx, exceptID); err == nil && s.ExpiresAt.Before(time.Now()) {
				return flowhook.ErrNotFound
			}
			return b.Store.DeleteSessions(ctx, identityID, exceptID)
		}
	}},
	{"revokes everybody", []string{"revoke-spares-other-identities"}, func(b *broken) {
		b.deleteSessions = func(ctx context.Context, _, _ string) error { b.revokesAll(ctx); return nil }
	}},
	{"takes an ID for a pattern", []string{"revoke-takes-ids-literally"}, func(b *broken) {
		b.deleteSessions = func(ctx context.Context, identityID, exceptID string) error {
			if identityID == "%" {
				b.revokesAll(ctx)
			}
			return b.Store.DeleteSessions(ctx, identityID, exceptID)
		}
	}},
	{
		"spares what is not there", []string{"sparing-an-unknown-session-is-not-found", "revoke-but-unknown-deletes-nothing", "revoke-but-deleted-deletes-nothing"},
		revokes(func(b *broken, ctx context.Context, identityID, _ string) error {
			return b.Store.DeleteSessions(ctx, identityID, "")
		}),
	},
	{
		"deletes before it looks",
		[]string{"revoke-but-unknown-deletes-nothing", "revoke-but-deleted-deletes-nothing", "revoke-but-foreign-deletes-nothing"},
		revokes(func(b *broken, ctx context.Context, identityID, _ string) error {
			_ = b.Store.DeleteSessions(ctx, identityID, "")
			return flowhook.ErrNotFound
		}),
	},
	{
		"spares anybody's session", []string{"revoke-but-foreign-deletes-nothing"},
		revokes(func(b *broken, ctx context.Context, identityID, exceptID string) error {
			if _, err := b.Store.FindSession(ctx, exceptID); err != nil {
				return err
			}
			return b.Store.DeleteSessions(ctx, identityID, "")
		}),
	},
	{"revokes outside of the transaction", []string{"revoke-sees-the-transaction", "revoke-is-rolled-back", "one-login-survives"}, func(b *broken) {
		b.deleteSessions = func(ctx context.Context, identityID, exceptID string) error {
			return b.Store.DeleteSessions(outside(ctx), identityID, exceptID)
		}
	}},
}
