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

// A tx is an open transaction: its writes over what is committed. Store.mu guards its fields,
// except those of the locks.
type tx struct {
	sessions map[string]*session // nil for a deleted one
	tokens   map[string]*token
	joined   int   // running calls of Transaction that joined it
	failed   error // why one of them failed; then nothing may be committed
	ended    bool

	holds []*lock  // guarded by locks.mu, as are the next three
	one   [1]*lock // room for the first, because most hold one
	waits []*lock  // one lock for each waiter
	over  bool     // its locks are released, and it may not acquire others
}

// atOnce stands for the transaction of a single call, which commits each write at once. It never
// changes.
var atOnce = new(tx)

// A txKey belongs to a store, so that the transactions of two stores in one context do not mix.
type txKey struct{ store *Store }

func (s *Store) txOf(ctx context.Context) *tx {
	t, _ := ctx.Value(txKey{s}).(*tx)
	return t
}

// Transaction implements [flowhook.Store]. Nobody else sees what a transaction writes until it
// commits all of it at once. It reads what others have committed in the meantime.
//
// Transactions that wait for an identity get it in the order of their calls. If a wait could never
// end, because it would close a circle, Transaction returns [ErrDeadlock] at once. If the fn of a
// joining call has failed, or is still running, the outermost call commits nothing and returns an
// error, whatever its own fn returned. A store call with the context of an ended transaction is an
// error.
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

	err := errFailed // for a panic or a Goexit
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

// apply commits the transaction's writes.
func (s *Store) apply(t *tx) {
	s.sessions.apply(t.sessions)
	s.tokens.apply(t.tokens)
	s.drop()
}

// drop removes what has expired.
func (s *Store) drop() {
	s.sessions.drop(s.sessions.now)
	s.tokens.drop(s.tokens.now.Add(-s.interval))
	s.attempts.drop(s.tokens.now.Add(-s.interval))
}

// end drops what is not committed, then releases the identities.
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
