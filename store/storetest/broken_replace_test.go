package storetest

import (
	"context"
	"slices"
	"sync"

	"github.com/flowhook/flowhook"
)

// replaces breaks ReplaceSession.
func replaces(how func(b *broken, ctx context.Context, old []string, s flowhook.Session) error) func(b *broken) {
	return func(b *broken) {
		b.replace = func(ctx context.Context, old []string, s flowhook.Session) error { return how(b, ctx, old, s) }
	}
}

// replacesInSteps deletes the old sessions first, and is not all or nothing.
func replacesInSteps(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
	for _, id := range old {
		if err := b.Store.DeleteSession(ctx, id); err != nil {
			return err
		}
	}
	return b.Store.CreateSession(ctx, s)
}

var brokenReplacements = []brokenStore{
	{"stores a session and replaces none", []string{"replaced-sessions-are-gone",
		"replacement-is-transactional", "replacements-of-one-session-at-once"},
		replaces(func(b *broken, ctx context.Context, _ []string, s flowhook.Session) error {
			return b.Store.CreateSession(ctx, s)
		})},
	{"replaces one session only", []string{"replaced-sessions-are-gone"},
		replaces(func(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
			return b.Store.ReplaceSession(ctx, old[:1], s)
		})},
	{"replaces sessions of the same identity only", []string{"replaced-sessions-are-gone"},
		replaces(func(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
			old = slices.DeleteFunc(slices.Clone(old), func(id string) bool {
				stored, err := b.Store.FindSession(ctx, id)
				return err == nil && stored.IdentityID != s.IdentityID
			})
			return b.Store.ReplaceSession(ctx, old, s)
		})},
	{"replaces all sessions of the identity", []string{"replaced-sessions-are-gone",
		"replacing-unknown-sessions-is-no-error"},
		replaces(func(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
			for _, v := range b.sessionsOf(ctx, s.IdentityID) {
				old = append(old, v.ID)
			}
			return b.Store.ReplaceSession(ctx, old, s)
		})},
	{"deletes the old sessions and stores none", []string{"replacing-session-comes-back"},
		replaces(func(b *broken, ctx context.Context, old []string, _ flowhook.Session) error {
			for _, id := range old {
				if err := b.Store.DeleteSession(ctx, id); err != nil {
					return err
				}
			}
			return nil
		})},
	{"misses sessions to replace", []string{"replacing-unknown-sessions-is-no-error",
		"replacements-of-one-session-at-once"},
		func(b *broken) {
			var mu sync.Mutex
			b.replace = func(ctx context.Context, old []string, s flowhook.Session) error {
				mu.Lock()
				defer mu.Unlock()
				for _, id := range old {
					if _, err := b.Store.FindSession(ctx, id); err != nil {
						return err
					}
				}
				return b.Store.ReplaceSession(ctx, old, s)
			}
		}},
	{"replaces in two steps", []string{"replacing-by-a-duplicate-is-an-error",
		"failed-replacement-in-a-transaction-changes-nothing", "replacements-by-one-id-at-once"}, replaces(replacesInSteps)},
	{"replaces a session by one with the same ID", []string{"replacing-by-the-same-id-is-an-error"},
		replaces(func(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
			return b.Store.Transaction(ctx, "", func(ctx context.Context) error { return replacesInSteps(b, ctx, old, s) })
		})},
	{"overwrites the session with the new ID", []string{"replacing-by-a-duplicate-is-an-error"},
		replaces(func(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
			return b.Store.Transaction(ctx, "", func(ctx context.Context) error {
				return replacesInSteps(b, ctx, append(slices.Clone(old), s.ID), s)
			})
		})},
	{"replaces outside of the transaction", []string{"replacement-is-transactional"},
		replaces(func(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
			return b.Store.ReplaceSession(outside(ctx), old, s)
		})},
	{"replaces after the context has ended", []string{"ended-context-replaces-nothing"},
		replaces(func(b *broken, ctx context.Context, old []string, s flowhook.Session) error {
			return b.Store.ReplaceSession(context.WithoutCancel(ctx), old, s)
		})},
}
