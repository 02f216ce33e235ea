package storetest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/flowhook/flowhook"
)

// deletes breaks DeleteToken.
func deletes(how func(b *broken, ctx context.Context, hash []byte) error) func(b *broken) {
	return func(b *broken) {
		b.deleteToken = func(ctx context.Context, hash []byte) error { return how(b, ctx, hash) }
	}
}

// consumesToDelete deletes a token as if it were redeemed.
func consumesToDelete(b *broken, ctx context.Context, hash []byte) error {
	_, err := b.Store.ConsumeToken(ctx, flowhook.PurposeVerification, hash, time.Time{})
	if errors.Is(err, flowhook.ErrNotFound) {
		return nil
	}
	return err
}

// issuedLike returns the tokens that were created for the address of the one with this hash.
func (b *broken) issuedLike(hash []byte) []flowhook.Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, all := range b.issued {
		for _, v := range all {
			if bytes.Equal(v.Hash, hash) {
				return append([]flowhook.Token(nil), all...)
			}
		}
	}
	return nil
}

var brokenDeletions = []brokenStore{
	{
		"deletes no token", []string{"deleted-token-is-not-found", "deleted-token-does-not-count", "rolled-back-deletion-does-not-count"},
		deletes(func(_ *broken, ctx context.Context, _ []byte) error { return ctx.Err() }),
	},
	{
		"marks a deleted token as used",
		[]string{"deleted-token-does-not-count", "deleted-used-token-does-not-count"}, deletes(consumesToDelete),
	},
	{"deletes unused tokens only", []string{"deleted-used-token-does-not-count"}, deletes(func(b *broken, ctx context.Context, hash []byte) error {
		return b.Store.Transaction(ctx, "", func(ctx context.Context) error {
			_, err := b.Store.ConsumeToken(ctx, flowhook.PurposeVerification, hash, time.Time{})
			if err != nil {
				return nil
			}
			return b.Store.DeleteToken(ctx, hash)
		})
	})},
	{"wants a token to delete", []string{"deleting-no-token-is-no-error"}, deletes(func(b *broken, ctx context.Context, hash []byte) error {
		if b.issuedLike(hash) == nil {
			return flowhook.ErrNotFound
		}
		return b.Store.DeleteToken(ctx, hash)
	})},
	{"deletes all tokens of the address", []string{"deleting-spares-other-tokens"}, deletes(func(b *broken, ctx context.Context, hash []byte) error {
		for _, v := range b.issuedLike(hash) {
			if err := b.Store.DeleteToken(ctx, v.Hash); err != nil {
				return err
			}
		}
		return nil
	})},
	{
		"deletes outside of the transaction", []string{"rolled-back-deletion-does-not-count"},
		deletes(func(b *broken, ctx context.Context, hash []byte) error {
			return b.Store.DeleteToken(outside(ctx), hash)
		}),
	},
	{"deletes a token in use", []string{"token-in-use-is-not-deleted"}, func(b *broken) {
		deleted := make(map[string]bool)
		b.deleteToken = func(_ context.Context, hash []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			deleted[string(hash)] = true
			return nil
		}
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			b.mu.Lock()
			gone := deleted[string(hash)]
			b.mu.Unlock()
			if gone {
				return flowhook.Token{}, flowhook.ErrNotFound
			}
			return b.Store.ConsumeToken(ctx, p, hash, now)
		}
	}},
	{"waits to delete a token in use", []string{"token-in-use-is-not-deleted"}, func(b *broken) {
		used := make(map[string]bool)
		b.consume = func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
			v, err := b.Store.ConsumeToken(ctx, p, hash, now)
			b.mu.Lock()
			defer b.mu.Unlock()
			used[string(hash)] = err == nil && inside(ctx)
			return v, err
		}
		b.deleteToken = func(ctx context.Context, hash []byte) error {
			b.mu.Lock()
			wait := used[string(hash)]
			b.mu.Unlock()
			if wait {
				<-ctx.Done()
				return ctx.Err()
			}
			return b.Store.DeleteToken(ctx, hash)
		}
	}},
	{
		"deletes after the context has ended", []string{"ended-context-deletes-no-token"},
		deletes(func(b *broken, ctx context.Context, hash []byte) error {
			return b.Store.DeleteToken(context.WithoutCancel(ctx), hash)
		}),
	},
}
