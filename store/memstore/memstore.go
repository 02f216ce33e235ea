// Package memstore is a store in memory, for experiments and tests, and as an example of a store.
// Its content is lost when the process ends, and no other process sees it.
package memstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
)

var (
	_ flowhook.Store           = (*Store)(nil)
	_ flowhook.SessionStore    = (*Store)(nil)
	_ flowhook.SessionReplacer = (*Store)(nil)
	_ flowhook.TokenStore      = (*Store)(nil)
)

// A Store is a [flowhook.Store], a [flowhook.SessionStore] with a [flowhook.SessionReplacer], and a
// [flowhook.TokenStore]. [New] makes it. It is safe for concurrent use.
//
// It does not read the clock. It drops an expired session when a session is stored that was issued
// later. It keeps a token longer, by the longest interval (IssuedAt minus notSince) that
// CreateToken was asked about, because the token counts as an email until then. It drops a count of
// attempts like the last of the tokens that it is about.
type Store struct {
	locks locks

	mu       sync.RWMutex // guards what follows, and the fields of a tx
	sessions table[session]
	tokens   table[token]
	attempts table[attempts]
	interval time.Duration // the longest that CreateToken was asked about
}

// New returns an empty store.
func New() *Store {
	return &Store{
		locks:    locks{byIdentity: make(map[string]*lock)},
		sessions: newTable[session](),
		tokens:   newTable[token](),
		attempts: newTable[attempts](),
	}
}

// CreateSession implements [flowhook.SessionStore]. An ID that an open transaction has created
// counts as stored.
func (s *Store) CreateSession(ctx context.Context, v flowhook.Session) error {
	return s.write(ctx, func(t *tx) error { return s.createSession(t, &v) })
}

// ReplaceSession implements [flowhook.SessionReplacer].
func (s *Store) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	return s.write(ctx, func(t *tx) error {
		if slices.Contains(old, v.ID) {
			return errors.New("memstore: a session cannot replace one with the same ID")
		}
		if err := s.createSession(t, &v); err != nil {
			return err
		}
		for _, id := range old {
			write(&t.sessions, id, nil)
		}
		return nil
	})
}

func (s *Store) createSession(t *tx, v *flowhook.Session) error {
	v.AuthenticatedAt = micro(v.AuthenticatedAt)
	v.IssuedAt = micro(v.IssuedAt)
	v.ExpiresAt = micro(v.ExpiresAt)
	if s.sessions.get(t.sessions, v.ID) != nil || !s.sessions.claim(t, v.ID) {
		return errors.New("memstore: there is a session with this ID")
	}
	write(&t.sessions, v.ID, (*session)(v))
	return nil
}

// FindSession implements [flowhook.SessionStore].
func (s *Store) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	if err := ctx.Err(); err != nil {
		return flowhook.Session{}, err
	}
	var own map[string]*session
	t := s.txOf(ctx)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t != nil {
		if t.ended {
			return flowhook.Session{}, errEnded
		}
		own = t.sessions
	}
	v := s.sessions.get(own, id)
	if v == nil {
		return flowhook.Session{}, flowhook.ErrNotFound
	}
	return flowhook.Session(*v), nil
}

// DeleteSession implements [flowhook.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, id string) error {
	return s.write(ctx, func(t *tx) error {
		write(&t.sessions, id, nil)
		return nil
	})
}

// DeleteSessions implements [flowhook.SessionRevoker].
func (s *Store) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	return s.write(ctx, func(t *tx) error {
		if exceptID != "" {
			if v := s.sessions.get(t.sessions, exceptID); v == nil || v.IdentityID != identityID {
				return flowhook.ErrNotFound
			}
		}
		for id := range s.sessions.of(t.sessions, owner{identity: identityID}) {
			if id != exceptID {
				write(&t.sessions, id, nil)
			}
		}
		return nil
	})
}

// CreateToken implements [flowhook.TokenStore]. It never waits. It ignores what other transactions
// have not committed, except that their hashes count as stored.
func (s *Store) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (created bool, err error) {
	v.Hash, v.Data = bytes.Clone(v.Hash), bytes.Clone(v.Data)
	v.IssuedAt = micro(v.IssuedAt)
	v.ExpiresAt = micro(v.ExpiresAt)
	notSince, latest := micro(notSince), v.IssuedAt.Add(time.Minute)
	hash := string(v.Hash)
	err = s.write(ctx, func(t *tx) error {
		s.interval = max(s.interval, v.IssuedAt.Sub(notSince))
		if s.tokens.get(t.tokens, hash) != nil || !s.tokens.claim(t, hash) {
			return errors.New("memstore: there is a token with this hash")
		}
		fresh := &token{Token: v}
		for _, old := range s.tokens.of(t.tokens, fresh.owner()) {
			if old.IssuedAt.After(notSince) && !old.IssuedAt.After(latest) {
				s.tokens.release(t, hash)
				return nil
			}
		}
		write(&t.tokens, hash, fresh)
		created = true
		return nil
	})
	return created, err
}

// ConsumeToken implements [flowhook.TokenStore]. It never waits.
func (s *Store) ConsumeToken(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
	var found flowhook.Token
	err := s.write(ctx, func(t *tx) error {
		v := s.tokens.get(t.tokens, string(hash))
		switch {
		case v == nil || v.Purpose != p || !micro(now).Before(v.ExpiresAt):
			return flowhook.ErrNotFound
		case v.used:
			return flowhook.ErrUsedToken
		case !s.tokens.claim(t, string(hash)):
			return flowhook.ErrNotFound
		}
		write(&t.tokens, string(hash), &token{Token: v.Token, used: true})
		found = v.Token
		found.Hash, found.Data = bytes.Clone(v.Hash), bytes.Clone(v.Data)
		return nil
	})
	return found, err
}

// CountAttempt implements [flowhook.TokenStore].
func (s *Store) CountAttempt(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if s.txOf(ctx) != nil {
		return 0, errors.New("memstore: CountAttempt in a transaction, which might be rolled back")
	}
	now = micro(now)
	next := attempts{to: owner{p, identityID, a.Via, a.Key()}, expires: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens.of(nil, next.to) {
		if now.Before(t.ExpiresAt) {
			next.since, next.expires = later(next.since, t.IssuedAt), later(next.expires, t.ExpiresAt)
		}
	}
	if last := s.attempts.get(nil, next.key()); last != nil {
		if !next.since.After(last.since) {
			next.since, next.n = last.since, last.n
		}
		next.expires = later(next.expires, last.expires)
	}
	next.n++
	s.attempts.apply(map[string]*attempts{next.key(): &next})
	return next.n, nil
}

// DeleteToken implements [flowhook.TokenStore]. It never waits.
func (s *Store) DeleteToken(ctx context.Context, hash []byte) error {
	return s.write(ctx, func(t *tx) error {
		if s.tokens.get(t.tokens, string(hash)) != nil && s.tokens.claim(t, string(hash)) {
			write(&t.tokens, string(hash), nil)
		}
		return nil
	})
}

// write runs op in the transaction of ctx, or else in one that is committed at once.
func (s *Store) write(ctx context.Context, op func(t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := s.txOf(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t != nil {
		if t.ended {
			return errEnded
		}
		return op(t)
	}
	t = &tx{atOnce: true} // it claims nothing, so that nothing is left after an error
	if err := op(t); err != nil {
		return err
	}
	s.apply(t)
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// micro truncates a time to microseconds and removes its monotonic clock.
func micro(t time.Time) time.Time { return t.Truncate(time.Microsecond) }
