package storetest

import (
	"bytes"
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// tokenCases test what CreateToken stores, and that it stores it once.
var tokenCases = []testCase{
	{
		name: "token-comes-back",
		explanation: "ConsumeToken returns a token as it was stored: every byte of the hash, identity and " +
			"address, and times that are Equal, whatever their zone",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			copy(v.Hash, []byte{0x00, 0xff, 0x27, 0x5c, 0x00})
			v.IssuedAt = v.IssuedAt.In(time.FixedZone("east", 5*60*60+45*60))
			e.issue(v)
			e.requireToken(v)
		},
	},
	{
		name:        "token-times-are-cut-to-microseconds",
		explanation: "times are stored with their microseconds, and what is finer is cut off: it is not rounded up",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.IssuedAt = v.IssuedAt.Truncate(time.Second).Add(123_456_789 * time.Nanosecond)
			v.ExpiresAt = v.ExpiresAt.Truncate(time.Second).Add(999_999_999 * time.Nanosecond)
			e.issue(v)
			v.IssuedAt = v.IssuedAt.Truncate(time.Microsecond)
			v.ExpiresAt = v.ExpiresAt.Truncate(time.Microsecond)
			e.requireToken(v)
		},
	},
	{
		name:        "addresses-come-back",
		explanation: "an address is stored as it is, whatever is in it",
		needs:       tokens,
		run: func(e *env) {
			id := e.newIdentity()
			for _, value := range []string{"o'brien@example.org", `"a b"@example.org`, `a\b%_@example.org`, "用户@例え.jp", "🔑@example.org", "A@EXAMPLE.org"} {
				v := e.token(id)
				v.Address.Value = value
				e.issue(v)
				e.requireToken(v)
			}
		},
	},
	{
		name: "stored-hash-is-a-copy",
		explanation: "the caller may change the hash that it passed and the one that it got: a store keeps a " +
			"copy and returns a copy",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			given := v
			given.Hash = bytes.Clone(v.Hash)
			e.issue(given)
			clear(given.Hash)
			require.ErrorIs(e, e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) error {
				got, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt)
				if err != nil {
					return err
				}
				clear(got.Hash)
				return errOnPurpose
			}), errOnPurpose)
			e.requireToken(v)
		},
	},
	{
		name: "duplicate-hash-is-an-error",
		explanation: "CreateToken with a hash that is stored is an error, though the address or the purpose is " +
			"another one, and the stored token stays as it is",
		needs: tokens,
		run: func(e *env) {
			v, other := e.token(e.newIdentity()), e.token(e.newIdentity())
			e.issue(v)
			other.Hash = v.Hash
			for _, p := range purposes {
				other.Purpose = p
				created, err := e.tokens().CreateToken(e.ctx, other, other.IssuedAt)
				require.Error(e, err)
				require.False(e, created)
			}
			e.requireToken(v)
		},
	},
	{
		name:        "not-created-changes-nothing",
		explanation: "if created is false, the new token is not stored, and the old one still works",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			e.issue(v)
			next := e.again(v)
			e.requireCreated(false, next, v.IssuedAt.Add(-time.Minute))
			e.requireNoToken(next.Hash, next.IssuedAt)
			e.requireToken(v)
		},
	},
	{
		name: "rolled-back-token-does-not-count",
		explanation: "a token whose transaction was rolled back was never issued: it is unknown, and another can " +
			"be created at once",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			since := v.IssuedAt.Add(-time.Minute)
			require.ErrorIs(e, e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) error {
				if _, err := e.tokens().CreateToken(ctx, v, since); err != nil {
					return err
				}
				return errOnPurpose
			}), errOnPurpose)
			e.requireNoToken(v.Hash, v.IssuedAt)
			e.requireCreated(true, e.again(v), since)
		},
	},
	{
		name:        "own-token-counts",
		explanation: "in a transaction, a token that it has created itself counts as issued, and can be used",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			var second bool
			require.NoError(e, e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) error {
				since := v.IssuedAt.Add(-time.Minute)
				_, err := e.tokens().CreateToken(ctx, v, since)
				if err == nil {
					second, err = e.tokens().CreateToken(ctx, e.again(v), since)
				}
				if err == nil {
					_, err = e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt)
				}
				return err
			}))
			require.False(e, second, "a second token was created")
			e.requireNoToken(v.Hash, v.IssuedAt)
		},
	},
	{
		name: "one-mail-at-once",
		explanation: "of 64 transactions of one identity at once that ask for a token for one address, exactly " +
			"one creates it, and none fails",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			created := make([]bool, 64)
			for _, o := range e.together(len(created), func(i int) error {
				return e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) (err error) {
					created[i], err = e.tokens().CreateToken(ctx, e.again(v), v.IssuedAt.Add(-time.Minute))
					return err
				})
			}) {
				require.NoError(e, o.err)
			}
			n := 0
			for _, c := range created {
				if c {
					n++
				}
			}
			require.Equal(e, 1, n, "tokens created")
		},
	},
	{
		name:        "ended-context-creates-no-token",
		explanation: "CreateToken is an error if ctx has ended, and changes nothing",
		needs:       tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			created, err := e.tokens().CreateToken(e.canceled(), v, v.IssuedAt)
			require.Error(e, err)
			require.False(e, created)
			e.requireNoToken(v.Hash, v.IssuedAt)
		},
	},
}

// again returns another token for the same purpose, identity and address.
func (e *env) again(v flowhook.Token) flowhook.Token {
	next := e.token(v.IdentityID)
	next.Purpose, next.Address, next.IssuedAt, next.ExpiresAt = v.Purpose, v.Address, v.IssuedAt, v.ExpiresAt
	return next
}

func (e *env) issue(v flowhook.Token) { e.requireCreated(true, v, v.IssuedAt) }

func (e *env) requireCreated(want bool, v flowhook.Token, notSince time.Time) {
	created, err := e.tokens().CreateToken(e.ctx, v, notSince)
	require.NoError(e, err)
	require.Equal(e, want, created, "created")
}

// requireToken consumes a token, and requires that it comes back unchanged.
func (e *env) requireToken(want flowhook.Token) {
	got, err := e.tokens().ConsumeToken(e.ctx, want.Purpose, want.Hash, want.IssuedAt)
	require.NoError(e, err)
	require.Equal(e, want.Hash, got.Hash)
	require.Equal(e, want.Purpose, got.Purpose)
	require.Equal(e, want.IdentityID, got.IdentityID)
	require.Equal(e, want.Address, got.Address)
	require.True(e, want.IssuedAt.Equal(got.IssuedAt), "IssuedAt: want %v, got %v", want.IssuedAt, got.IssuedAt)
	require.True(e, want.ExpiresAt.Equal(got.ExpiresAt), "ExpiresAt: want %v, got %v", want.ExpiresAt, got.ExpiresAt)
	require.True(e, bytes.Equal(want.Data, got.Data), "Data: want %d bytes, got %d, or other ones", len(want.Data), len(got.Data))
}

func (e *env) requireNoToken(hash []byte, now time.Time) {
	_, err := e.tokens().ConsumeToken(e.ctx, flowhook.PurposeVerification, hash, now)
	require.ErrorIs(e, err, flowhook.ErrNotFound)
}
