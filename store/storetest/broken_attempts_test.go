package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowhook/flowhook"
)

// guess holds the arguments of CountAttempt.
type guess struct {
	p          flowhook.Purpose
	identityID string
	a          flowhook.Address
	now        time.Time
}

// counts breaks CountAttempt.
func counts(how func(b *broken, ctx context.Context, g guess) (int, error)) func(b *broken) {
	return func(b *broken) {
		b.count = func(
			ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
		) (int, error) {
			return how(b, ctx, guess{p, identityID, a, now})
		}
	}
}

// countsAs breaks CountAttempt by what it counts the attempt as.
func countsAs(change func(g guess) guess) func(b *broken) {
	return counts(func(b *broken, ctx context.Context, g guess) (int, error) {
		return b.countAs(ctx, change(g))
	})
}

func (b *broken) countAs(ctx context.Context, g guess) (int, error) {
	return b.Store.CountAttempt(ctx, g.p, g.identityID, g.a, g.now)
}

// restarts breaks CountAttempt by another time of the newest token, from which it counts.
func restarts(newest func(b *broken, g guess) time.Time) func(b *broken) {
	type count struct {
		since time.Time
		n     int
	}
	all := make(map[guess]count)
	return counts(func(b *broken, ctx context.Context, g guess) (int, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		to := guess{p: g.p, identityID: g.identityID, a: flowhook.Address{Via: g.a.Via, Value: g.a.Key()}}
		c := all[to]
		if since := newest(b, g); since.After(c.since) {
			c = count{since: since}
		}
		c.n++
		all[to] = c
		return c.n, ctx.Err()
	})
}

// restartsFor breaks CountAttempt by another choice of the tokens of which the newest counts.
func restartsFor(counts func(g guess, v flowhook.Token) bool) func(b *broken) {
	return restarts(func(b *broken, g guess) (newest time.Time) {
		for _, all := range b.issued {
			for _, v := range all {
				if counts(g, v) && v.IssuedAt.After(newest) {
					newest = v.IssuedAt
				}
			}
		}
		return newest
	})
}

func (g guess) samePurpose(v flowhook.Token) bool  { return v.Purpose == g.p }
func (g guess) sameIdentity(v flowhook.Token) bool { return v.IdentityID == g.identityID }
func (g guess) valid(v flowhook.Token) bool        { return g.now.Before(v.ExpiresAt) }

func (g guess) sameAddress(v flowhook.Token) bool {
	return v.Address.Via == g.a.Via && v.Address.Key() == g.a.Key()
}

var brokenAttempts = []brokenStore{
	{
		"counts no attempts", []string{"attempts-count-up", "64-attempts-at-once", "attempts-survive-a-rollback"},
		counts(func(_ *broken, ctx context.Context, _ guess) (int, error) { return 1, ctx.Err() }),
	},
	{"counts from 0", []string{"attempts-count-up"}, counts(func(b *broken, ctx context.Context, g guess) (int, error) {
		n, err := b.countAs(ctx, g)
		return n - 1, err
	})},
	{"counts attempts for any purpose", []string{"attempts-are-separate"}, countsAs(func(g guess) guess {
		g.p = flowhook.PurposeVerification
		return g
	})},
	{"counts attempts for any identity", []string{"attempts-are-separate"}, countsAs(func(g guess) guess {
		g.identityID = "any"
		return g
	})},
	{"counts attempts for any address", []string{"attempts-are-separate"}, countsAs(func(g guess) guess {
		g.a.Value = "any"
		return g
	})},
	{"counts attempts for any way", []string{"attempts-are-separate"}, countsAs(func(g guess) guess {
		g.a.Via = "email"
		return g
	})},
	{"counts each spelling", []string{"attempts-count-spellings-as-one"}, countsAs(func(g guess) guess {
		g.a.Via += "/" + g.a.Value
		return g
	})},
	{"counts verified addresses separately", []string{"attempts-count-spellings-as-one"}, countsAs(func(g guess) guess {
		if g.a.Verified {
			g.a.Via += "/verified"
		}
		return g
	})},
	{
		"never restarts the count", []string{"newer-token-restarts-attempts"},
		restartsFor(func(guess, flowhook.Token) bool { return false }),
	},
	{
		"restarts the count for the same spelling only", []string{"newer-token-restarts-attempts"},
		restartsFor(func(g guess, v flowhook.Token) bool { return v.Address == g.a && g.samePurpose(v) && g.valid(v) }),
	},
	{"restarts the count for an unused token only", []string{"newer-token-restarts-attempts"}, func(b *broken) {
		used := make(map[string]bool)
		restartsFor(func(g guess, v flowhook.Token) bool {
			return !used[string(v.Hash)] && g.samePurpose(v) && g.sameIdentity(v) && g.sameAddress(v) && g.valid(v)
		})(b)
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			used[string(hash)] = true
			return b.Store.ConsumeToken(ctx, p, hash, now)
		}
	}},
	{
		"restarts the count for each token, however old", []string{"other-tokens-restart-no-attempts"},
		restarts(func(b *broken, g guess) time.Time { return time.Unix(int64(len(b.issued[g.a])), 0) }),
	},
	{
		"restarts the count for another purpose", []string{"other-tokens-restart-no-attempts"},
		restartsFor(func(g guess, v flowhook.Token) bool { return g.sameIdentity(v) && g.sameAddress(v) && g.valid(v) }),
	},
	{
		"restarts the count for another identity", []string{"other-tokens-restart-no-attempts"},
		restartsFor(func(g guess, v flowhook.Token) bool { return g.samePurpose(v) && g.sameAddress(v) && g.valid(v) }),
	},
	{
		"restarts the count for another address", []string{"other-tokens-restart-no-attempts"},
		restartsFor(func(g guess, v flowhook.Token) bool { return g.samePurpose(v) && g.sameIdentity(v) && g.valid(v) }),
	},
	{
		"restarts the count for an expired token", []string{"attempts-without-a-token-count-on"},
		restartsFor(func(g guess, v flowhook.Token) bool {
			return g.samePurpose(v) && g.sameIdentity(v) && g.sameAddress(v)
		}),
	},
	{
		"restarts the count without a token", []string{"attempts-without-a-token-count-on"},
		counts(func(b *broken, ctx context.Context, g guess) (int, error) {
			n, err := b.countAs(ctx, g)
			if v, ok := b.lastIssued(g.a); !ok || !g.now.Before(v.ExpiresAt) {
				n = min(n, 1)
			}
			return n, err
		}),
	},
	{
		"undoes a count with the transaction that follows", []string{"attempts-survive-a-rollback"}, func(b *broken) {
			undone, last := 0, 0
			counts(func(b *broken, ctx context.Context, g guess) (int, error) {
				n, err := b.countAs(ctx, g)
				last = n - undone
				return last, err
			})(b)
			b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
				err := b.Store.Transaction(ctx, id, fn)
				if err != nil {
					undone += last
				}
				return err
			}
		},
	},
	{
		"counts in a transaction", []string{"attempt-in-a-transaction-is-an-error"},
		counts(func(b *broken, ctx context.Context, g guess) (int, error) { return b.countAs(outside(ctx), g) }),
	},
	{
		"refuses to count in a transaction, and counts", []string{"attempt-in-a-transaction-is-an-error"},
		counts(func(b *broken, ctx context.Context, g guess) (int, error) {
			n, err := b.countAs(outside(ctx), g)
			if inside(ctx) {
				err = errors.Join(err, errors.New("in a transaction"))
			}
			return n, err
		}),
	},
	{"reads the count, then writes it", []string{"64-attempts-at-once"}, func(b *broken) {
		var n, calls atomic.Int64
		second := make(chan struct{})
		counts(func(_ *broken, ctx context.Context, _ guess) (int, error) {
			was := n.Load()
			switch calls.Add(1) {
			case 1:
				either(ctx, second)
			case 2:
				defer close(second)
			}
			n.Store(was + 1)
			return int(was + 1), ctx.Err()
		})(b)
	}},
	{"fails instead of waiting to count", []string{"64-attempts-at-once"}, func(b *broken) {
		var mu sync.Mutex
		refused := make(chan struct{})
		refuse := sync.OnceFunc(func() { close(refused) })
		counts(func(b *broken, ctx context.Context, g guess) (int, error) {
			if !mu.TryLock() {
				refuse()
				return 0, errors.New("a conflict")
			}
			defer mu.Unlock()
			either(ctx, refused)
			return b.countAs(ctx, g)
		})(b)
	}},
	{"locks the newest token to count", []string{"attempts-do-not-use-the-token"}, func(b *broken) {
		skipped := make(chan struct{})
		skip := sync.OnceFunc(func() { close(skipped) })
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			if errors.Is(err, flowhook.ErrNotFound) {
				skip()
			}
			return v, err
		}
		var calls atomic.Int64
		counts(func(b *broken, ctx context.Context, g guess) (int, error) {
			if v, ok := b.lastIssued(g.a); ok && calls.Add(1) > guessers {
				_ = b.Store.Transaction(ctx, "", func(ctx context.Context) error {
					_, _ = b.Store.ConsumeToken(ctx, v.Purpose, v.Hash, g.now)
					either(ctx, skipped)
					return errOnPurpose
				})
			}
			return b.countAs(ctx, g)
		})(b)
	}},
	{
		"counts after the context has ended", []string{"ended-context-counts-no-attempt"},
		counts(func(b *broken, ctx context.Context, g guess) (int, error) {
			return b.countAs(context.WithoutCancel(ctx), g)
		}),
	},
	{
		"counts, and then notices that the context has ended", []string{"ended-context-counts-no-attempt"},
		counts(func(b *broken, ctx context.Context, g guess) (int, error) {
			n, err := b.countAs(context.WithoutCancel(ctx), g)
			return n, errors.Join(err, ctx.Err())
		}),
	},
}

// either waits for a channel or for the end of ctx.
func either(ctx context.Context, ch <-chan struct{}) {
	select {
	case <-ch:
	case <-ctx.Done():
	}
}
