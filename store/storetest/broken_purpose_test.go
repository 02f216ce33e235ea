package storetest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// consumes breaks ConsumeToken. It is not called for a token that was never created.
func consumes(
	how func(b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time) (flowhook.Token, error),
) func(b *broken) {
	return func(b *broken) {
		b.consume = func(
			ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
		) (flowhook.Token, error) {
			v, ok := b.issuedAs(hash)
			if !ok {
				return flowhook.Token{}, flowhook.ErrNotFound
			}
			return how(b, ctx, p, v, now)
		}
	}
}

// issuedAs returns the token that was created with this hash.
func (b *broken) issuedAs(hash []byte) (v flowhook.Token, ok bool) {
	for _, v := range b.issuedLike(hash) {
		if string(v.Hash) == string(hash) {
			return v, true
		}
	}
	return v, false
}

var brokenPurposes = []brokenStore{
	{
		"redeems for any purpose", []string{"other-purpose-is-not-found"},
		consumes(func(
			b *broken, ctx context.Context, _ flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			return b.Store.ConsumeToken(ctx, v.Purpose, v.Hash, now)
		}),
	},
	{
		"redeems without a purpose", []string{"other-purpose-is-not-found"},
		consumes(func(
			b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			if p == "" {
				p = v.Purpose
			}
			return b.Store.ConsumeToken(ctx, p, v.Hash, now)
		}),
	},
	{
		"trims purposes", []string{"other-purpose-is-not-found"},
		consumes(func(
			b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			return b.Store.ConsumeToken(ctx, flowhook.Purpose(strings.TrimSpace(string(p))), v.Hash, now)
		}),
	},
	{
		"uses up a token of another purpose", []string{"other-purpose-is-not-found"},
		consumes(func(
			b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			if p != v.Purpose {
				_, err := b.Store.ConsumeToken(ctx, v.Purpose, v.Hash, now)
				return flowhook.Token{}, errors.Join(flowhook.ErrNotFound, err)
			}
			return b.Store.ConsumeToken(ctx, p, v.Hash, now)
		}),
	},
	{
		"forgets the purpose", []string{"purpose-comes-back"},
		consumes(func(
			b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, v.Hash, now)
			v.Purpose = ""
			return v, err
		}),
	},
	{
		"knows only flowhook's purposes", []string{"purpose-comes-back"}, func(b *broken) {
			b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
				if v.Purpose == "a purpose" {
					return false, errors.New("unknown purpose")
				}
				return b.Store.CreateToken(ctx, v, notSince)
			}
		},
	},
	{
		"counts tokens of any purpose", []string{"interval-counts-per-purpose"}, func(b *broken) {
			b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
				if last, ok := b.lastIssued(v.Address); ok && last.IssuedAt.After(notSince) {
					return false, nil
				}
				return b.Store.CreateToken(ctx, v, notSince)
			}
		},
	},
	{
		"limits verifications only", []string{"interval-counts-per-purpose"},
		since(func(_ *broken, v flowhook.Token, t time.Time) time.Time {
			if v.Purpose != flowhook.PurposeVerification {
				return never
			}
			return t
		}),
	},
	{
		"keeps a hash for each purpose", []string{"duplicate-hash-is-an-error"}, func(b *broken) {
			b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
				if was, ok := b.issuedAs(v.Hash); ok && was.Purpose != v.Purpose {
					return true, nil
				}
				return b.Store.CreateToken(ctx, v, notSince)
			}
		},
	},
}
