package memstore

import (
	"context"
	"errors"
	"fmt"
)

var (
	errEnded  = errors.New("memstore: the transaction of this context has ended")
	errFailed = errors.New("it did not return")
)

// A tx is an open transaction: what it wrote, over what is committed. Its own fields are guarded by Store.mu, but for
// those that the locks keep.
type tx struct {
	sessions map[string]*session // nil: deleted
	tokens   map[string]*token
	joined   int   // calls of Transaction that have joined it and still run
	failed   error // why one of them failed: nothing may be committed
	ended    bool
	atOnce   bool // it is one call, which commits before anybody else has a look

	holds []*lock  // guarded by locks.mu, as are the next three
	one   [1]*lock // room for the first: most hold one
	waits []*lock  // one for each waiter
	over  bool     // what it held is released: it may hold nothing any more
}

// write notes an item, or nil for one that is deleted.
func write[V any](own *map[string]*V, key string, v *V) {
	if *own == nil {
		*own = make(map[string]*V)
	}
	(*own)[key] = v
}

// A txKey is a store's own, so that the transactions of two stores in one context do not mix.
type txKey struct{ store *Store }

func (s *Store) txOf(ctx context.Context) *tx {
	t, _ := ctx.Value(txKey{s}).(*tx)
	return t
}

// Transaction is [flowhook.Store]'s. What a transaction writes is kept apart, and nobody else sees it, until it is
// committed all at once. It reads what others have committed in the meantime.
//
// Those who wait for an identity get their turn in the order in which they came. One that could only wait for ever,
// because the wait would close a circle, gets [ErrDeadlock] at once. Where a joining call's fn has failed, or is still
// running, the outermost commits nothing and returns an error, whatever its own fn returned. A store call with the
// context of a transaction that has ended is an error.
func (s *Store) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t := s.txOf(ctx); t != nil {
		return s.join(ctx, t, identityID, fn)
	}
	t := &tx{}
	t.holds = t.one[:0]
	defer s.end(t)
	if err := s.locks.acquire(ctx, t, identityID); err != nil {
		return err
	}
	if err := fn(context.WithValue(ctx, txKey{s}, t)); err != nil {
		return err
	}
	return s.commit(ctx, t)
}

func (s *Store) join(ctx context.Context, t *tx, identityID string, fn func(ctx context.Context) error) error {
	if err := s.locks.acquire(ctx, t, identityID); err != nil {
		return err
	}
	s.mu.Lock()
	if t.ended {
		s.mu.Unlock()
		return errEnded
	}
	t.joined++
	s.mu.Unlock()

	err := errFailed // by a panic or Goexit
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.joined--
		if err != nil && t.failed == nil {
			t.failed = err
		}
	}()
	if err = fn(ctx); err == nil {
		err = ctx.Err()
	}
	return err
}

func (s *Store) commit(ctx context.Context, t *tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case t.failed != nil:
		return fmt.Errorf("memstore: a joined transaction failed: %w", t.failed)
	case t.joined > 0:
		return errors.New("memstore: a joined transaction is still running")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	s.apply(t)
	return nil
}

// apply makes the transaction's writes the store's.
func (s *Store) apply(t *tx) {
	s.sessions.apply(t.sessions)
	s.tokens.apply(t.tokens)
	s.sessions.drop(0)
	s.tokens.drop(s.interval)
}

// end forgets what is not committed, then lets the next ones have the identities.
func (s *Store) end(t *tx) {
	s.mu.Lock()
	s.discard(t)
	s.mu.Unlock()
	s.locks.release(t)
}

func (s *Store) discard(t *tx) {
	t.ended = true
	for id := range t.sessions {
		s.sessions.release(t, id)
	}
	for hash := range t.tokens {
		s.tokens.release(t, hash)
	}
}
