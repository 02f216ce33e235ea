package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/flowhook/flowhook"
)

// never is a notSince after which no token was issued.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// since breaks CreateToken by another notSince.
func since(change func(b *broken, v flowhook.Token, notSince time.Time) time.Time) func(b *broken) {
	return func(b *broken) {
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			return b.Store.CreateToken(ctx, v, change(b, v, notSince))
		}
	}
}

// stores breaks CreateToken by what it makes of the token.
func stores(change func(v flowhook.Token) flowhook.Token) func(b *broken) {
	return func(b *broken) {
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			return b.Store.CreateToken(ctx, change(v), notSince)
		}
	}
}

// at breaks ConsumeToken by another time.
func at(change func(now time.Time) time.Time) func(b *broken) {
	return func(b *broken) {
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			return b.Store.ConsumeToken(ctx, p, hash, change(now))
		}
	}
}

var brokenTokens = []brokenStore{
	{"writes addresses in lower case", []string{"addresses-come-back"}, stores(func(v flowhook.Token) flowhook.Token {
		v.Address.Value = strings.ToLower(v.Address.Value)
		return v
	})},
	{"tells verified addresses apart", []string{"verified-mark-is-no-part-of-the-address"}, stores(func(v flowhook.Token) flowhook.Token {
		if v.Address.Verified {
			v.Address.Via += "/verified"
		}
		return v
	})},
	{
		"tells spellings apart",
		[]string{"spellings-of-one-mailbox-count-as-one", "letters-beyond-ascii-fold", "one-spelling-at-once"},
		stores(func(v flowhook.Token) flowhook.Token {
			v.Address.Via += "/" + v.Address.Value
			return v
		}),
	},
	{"folds ASCII only", []string{"letters-beyond-ascii-fold"}, stores(func(v flowhook.Token) flowhook.Token {
		v.Address.Via += "/" + strings.Map(func(r rune) rune {
			if r < 128 {
				r = unicode.ToLower(r)
			}
			return r
		}, v.Address.Value)
		return v
	})},
	{"folds whatever the way", []string{"only-email-is-folded"}, stores(func(v flowhook.Token) flowhook.Token {
		v.Address.Value = strings.ToLower(v.Address.Value)
		return v
	})},
	{"stores the key", []string{"token-keeps-its-spelling", "addresses-come-back"}, stores(func(v flowhook.Token) flowhook.Token {
		v.Address.Value = v.Address.Key()
		return v
	})},
	{"believes a clock that was ahead", []string{"token-from-the-future-does-not-count"}, func(b *broken) {
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			if last, ok := b.lastIssued(v.Address); ok && last.IssuedAt.After(v.IssuedAt) {
				return false, nil
			}
			return b.Store.CreateToken(ctx, v, notSince)
		}
	}},
	{"takes the latest time it has seen for now", []string{"clock-that-was-ahead-drops-no-token"}, func(b *broken) {
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			for _, v := range b.issuedLike(hash) {
				if v.IssuedAt.After(now) {
					now = v.IssuedAt
				}
			}
			return b.Store.ConsumeToken(ctx, p, hash, now)
		}
	}},
	{
		"counts nothing of a clock that is ahead", []string{"token-a-minute-ahead-counts"},
		since(func(b *broken, v flowhook.Token, t time.Time) time.Time {
			if last, ok := b.lastIssued(v.Address); ok && last.IssuedAt.After(v.IssuedAt) {
				return never
			}
			return t
		}),
	},
	{"counts tokens for any address", []string{"other-addresses-do-not-count"}, stores(func(v flowhook.Token) flowhook.Token {
		v.Address.Value = "any"
		return v
	})},
	{"counts tokens for any way", []string{"other-addresses-do-not-count"}, stores(func(v flowhook.Token) flowhook.Token {
		v.Address.Via = "any"
		return v
	})},
	{"counts tokens of any identity", []string{"other-addresses-do-not-count"}, stores(func(v flowhook.Token) flowhook.Token {
		v.IdentityID = "any"
		return v
	})},
	{"shares the slice of the hash", []string{"stored-hash-is-a-copy"}, func(b *broken) {
		hashes := make(map[string][]byte)
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			hashes[string(v.Hash)] = v.Hash
			return b.Store.CreateToken(ctx, v, notSince)
		}
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			v.Hash = hashes[string(hash)]
			return v, err
		}
	}},
	{"ignores a duplicate hash", []string{"duplicate-hash-is-an-error"}, func(b *broken) {
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			created, _ := b.Store.CreateToken(ctx, v, notSince)
			return created, nil
		}
	}},
	{
		"ignores notSince",
		[]string{
			"recent-token-is-enough", "any-recent-token-counts", "used-token-counts", "expired-token-counts", "not-created-changes-nothing",
			"own-token-counts", "one-mail-at-once", "verified-mark-is-no-part-of-the-address", "creating-does-not-wait-for-a-token-in-use",
		},
		since(func(*broken, flowhook.Token, time.Time) time.Time { return never }),
	},
	{
		"takes notSince as inclusive", []string{"not-since-is-exclusive"},
		since(func(_ *broken, _ flowhook.Token, t time.Time) time.Time { return t.Add(-time.Microsecond) }),
	},
	{
		"compares notSince in seconds", []string{"recent-token-is-enough"},
		since(func(_ *broken, _ flowhook.Token, t time.Time) time.Time { return t.Add(time.Second) }),
	},
	{
		"creates one token ever", []string{"older-token-does-not-count"},
		since(func(*broken, flowhook.Token, time.Time) time.Time { return time.Time{} }),
	},
	{"looks at the last token only", []string{"any-recent-token-counts"}, since(func(b *broken, v flowhook.Token, t time.Time) time.Time {
		if last, ok := b.lastIssued(v.Address); ok && !last.IssuedAt.After(t) {
			return never
		}
		return t
	})},
	{"forgets expired tokens", []string{"expired-token-counts"}, since(func(b *broken, v flowhook.Token, t time.Time) time.Time {
		if last, ok := b.lastIssued(v.Address); ok && !v.IssuedAt.Before(last.ExpiresAt) {
			return never
		}
		return t
	})},
	{"forgets used tokens", []string{"used-token-counts"}, func(b *broken) {
		used := make(map[flowhook.Address]bool)
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			if used[v.Address] {
				notSince = never
			}
			return b.Store.CreateToken(ctx, v, notSince)
		}
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			used[v.Address] = true
			return v, err
		}
	}},
	{"stores what it does not create", []string{"not-created-changes-nothing"}, func(b *broken) {
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			created, err := b.Store.CreateToken(ctx, v, notSince)
			if err == nil && !created {
				_, err = b.Store.CreateToken(ctx, v, never)
			}
			return created, err
		}
	}},
	{"finds unknown tokens", []string{"unknown-token-is-not-found", "token-is-used-once"}, func(b *broken) {
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			if errors.Is(err, flowhook.ErrNotFound) {
				err = nil
			}
			return v, err
		}
	}},
	{"consumes twice", []string{"token-is-used-once", "one-of-64-redeems", "one-of-64-transactions-redeems", "token-in-use-is-not-found", "own-token-counts"}, func(b *broken) {
		var mu sync.Mutex
		given := make(map[string]flowhook.Token)
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			mu.Lock()
			defer mu.Unlock()
			if v, ok := given[string(hash)]; ok {
				return v, nil
			}
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			if err == nil {
				given[string(hash)] = v
			}
			return v, err
		}
	}},
	{"uses up all tokens of the address", []string{"consuming-spares-other-tokens"}, func(b *broken) {
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, other := range b.issued[v.Address] {
				_, _ = b.Store.ConsumeToken(ctx, p, other.Hash, now)
			}
			return v, err
		}
	}},
	{"ignores expiry", []string{"expired-token-is-not-found"}, at(func(time.Time) time.Time { return time.Time{} })},
	{"lets tokens expire too late", []string{"expired-token-is-not-found"}, at(func(t time.Time) time.Time { return t.Add(-time.Microsecond) })},
	{"lets tokens expire too early", []string{"token-is-good-before-it-expires"}, at(func(t time.Time) time.Time { return t.Add(time.Microsecond) })},
	{"rounds the time of asking", []string{"expiry-counts-in-microseconds"}, at(func(t time.Time) time.Time { return t.Round(time.Microsecond) })},
	{"uses up expired tokens", []string{"expired-token-is-not-found"}, func(b *broken) {
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, hash, time.Time{})
			if err == nil && !now.Before(v.ExpiresAt) {
				err = flowhook.ErrNotFound
			}
			return v, err
		}
	}},
	{"redeems outside of the transaction", []string{"rolled-back-redemption-does-not-count", "stored-hash-is-a-copy"}, func(b *broken) {
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			return b.Store.ConsumeToken(outside(ctx), p, hash, now)
		}
	}},
	{"waits for a token in use", []string{"token-in-use-is-not-found", "creating-does-not-wait-for-a-token-in-use", "login-and-redeem-cross"}, func(b *broken) {
		var using []byte
		var mu sync.Mutex
		inUse := func() []byte { mu.Lock(); defer mu.Unlock(); return using }
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			if last, ok := b.lastIssued(v.Address); ok && bytes.Equal(last.Hash, inUse()) {
				<-ctx.Done()
				return false, ctx.Err()
			}
			return b.Store.CreateToken(ctx, v, notSince)
		}
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			if bytes.Equal(hash, inUse()) {
				<-ctx.Done()
				return flowhook.Token{}, ctx.Err()
			}
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			if err == nil && inside(ctx) {
				mu.Lock()
				defer mu.Unlock()
				using = v.Hash
			}
			return v, err
		}
	}},
}
