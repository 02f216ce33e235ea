package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// A mark is something that can be written once and looked for, in any kind of store.
type mark struct {
	put  func(ctx context.Context) error
	seen func(ctx context.Context) (bool, error)
}

func (e *env) mark(identityID string) mark {
	if sessions(e.store) {
		store, s := e.sessions(), e.session(identityID)
		return mark{
			put: func(ctx context.Context) error { return store.CreateSession(ctx, s) },
			seen: func(ctx context.Context) (bool, error) {
				_, err := store.FindSession(ctx, s.ID)
				return found(err)
			},
		}
	}
	// Without sessions, looking for a token consumes it, so each look takes one of several.
	store := e.tokens()
	var tokens []flowhook.Token
	for range 4 {
		tokens = append(tokens, e.token(identityID))
	}
	looks := 0
	return mark{
		put: func(ctx context.Context) error {
			for _, v := range tokens {
				if created, err := store.CreateToken(ctx, v, v.IssuedAt); err != nil || !created {
					return errors.Join(fmt.Errorf("created: %v", created), err)
				}
			}
			return nil
		},
		seen: func(ctx context.Context) (bool, error) {
			v := tokens[looks]
			looks++
			_, err := store.ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt)
			return found(err)
		},
	}
}

func found(err error) (bool, error) {
	if errors.Is(err, flowhook.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (e *env) requireSeen(m mark, want bool) {
	seen, err := m.seen(e.ctx)
	require.NoError(e, err)
	if want {
		require.True(e, seen, "what was written is not there")
	} else {
		require.False(e, seen, "what must not have been written is there")
	}
}

func (e *env) sessions() flowhook.SessionStore { return e.store.(flowhook.SessionStore) }

func (e *env) tokens() flowhook.TokenStore { return e.store.(flowhook.TokenStore) }

// session returns a new session, which is valid for a day.
func (e *env) session(identityID string) flowhook.Session {
	now := time.Now().Truncate(time.Microsecond)
	return flowhook.Session{
		ID:              rand.Text(),
		IdentityID:      identityID,
		AuthenticatedAt: now.Add(-time.Second),
		IssuedAt:        now,
		ExpiresAt:       now.Add(24 * time.Hour),
	}
}

// token returns a new verification token for a new address, which is valid for a day.
func (e *env) token(identityID string) flowhook.Token {
	hash := make([]byte, 32)
	_, _ = rand.Read(hash) // never fails
	now := time.Now().Truncate(time.Microsecond)
	return flowhook.Token{
		Hash:       hash,
		Purpose:    flowhook.PurposeVerification,
		IdentityID: identityID,
		Address:    flowhook.Address{Via: "email", Value: rand.Text() + "@example.org"},
		IssuedAt:   now,
		ExpiresAt:  now.Add(24 * time.Hour),
	}
}
