package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
)

// usedOr breaks ConsumeToken for a token that memstore does not find. used reports whether it was.
func usedOr(used func(b *broken, p flowhook.Purpose, v flowhook.Token, now time.Time, err error) bool) func(b *broken) {
	return consumes(func(
		b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
	) (flowhook.Token, error) {
		found, err := b.Store.ConsumeToken(ctx, p, v.Hash, now)
		if !errors.Is(err, flowhook.ErrNotFound) {
			return found, err
		}
		if used(b, p, v, now, err) {
			return found, flowhook.ErrUsedToken
		}
		return found, flowhook.ErrNotFound
	})
}

// remembersUses breaks ConsumeToken for a token that it has returned before.
func remembersUses(wrong func(v flowhook.Token, p flowhook.Purpose, now time.Time) bool) func(b *broken) {
	return func(b *broken) {
		used := make(map[string]bool)
		consumes(func(
			b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			found, err := b.Store.ConsumeToken(ctx, p, v.Hash, now)
			b.mu.Lock()
			defer b.mu.Unlock()
			if err == nil {
				used[string(v.Hash)] = true
			} else if used[string(v.Hash)] && errors.Is(err, flowhook.ErrNotFound) && wrong(v, p, now) {
				err = flowhook.ErrUsedToken
			}
			return found, err
		})(b)
	}
}

var brokenUses = []brokenStore{
	{
		"does not know a used token", []string{"used-token-is-err-used-token", "all-of-64-see-a-used-token"},
		usedOr(func(*broken, flowhook.Purpose, flowhook.Token, time.Time, error) bool { return false }),
	},
	{
		"forgets before the expiry that a token was used", []string{"used-token-is-err-used-token"},
		usedOr(func(_ *broken, _ flowhook.Purpose, v flowhook.Token, now time.Time, err error) bool {
			return errors.Is(err, flowhook.ErrUsedToken) && now.Before(v.ExpiresAt.Add(-time.Second))
		}),
	},
	{
		"calls an expired token used", []string{"used-and-expired-token-is-not-found"},
		remembersUses(func(v flowhook.Token, p flowhook.Purpose, _ time.Time) bool { return p == v.Purpose }),
	},
	{
		"calls a token of another purpose used", []string{"used-token-of-other-purpose-is-not-found"},
		remembersUses(func(v flowhook.Token, _ flowhook.Purpose, now time.Time) bool { return now.Before(v.ExpiresAt) }),
	},
	{
		"calls a deleted token used", []string{"deleted-used-token-is-not-found"},
		remembersUses(func(v flowhook.Token, p flowhook.Purpose, now time.Time) bool {
			return p == v.Purpose && now.Before(v.ExpiresAt)
		}),
	},
	{
		"calls a token in use used", []string{"token-in-use-is-not-found"},
		remembersUses(func(v flowhook.Token, p flowhook.Purpose, now time.Time) bool {
			return p == v.Purpose && now.Before(v.ExpiresAt)
		}),
	},
	{"locks a used token to look at it", []string{"all-of-64-see-a-used-token"}, func(b *broken) {
		var looking sync.Mutex
		refused := make(chan struct{})
		refuse := sync.OnceFunc(func() { close(refused) })
		used := false
		consumes(func(
			b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			if !looking.TryLock() {
				refuse()
				return flowhook.Token{}, flowhook.ErrNotFound
			}
			defer looking.Unlock()
			if used {
				either(ctx, refused)
			}
			used = true
			return b.Store.ConsumeToken(ctx, p, v.Hash, now)
		})(b)
	}},
}
