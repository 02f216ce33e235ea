package sqltest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A storeFault is a failure of one call of the store.
type storeFault string

const (
	callBefore  storeFault = "fails before it takes effect"
	callAfter   storeFault = "fails after it took effect"
	callCommit  storeFault = "fails at its end, before the commit"
	panicBefore storeFault = "panics before it takes effect"
	panicAfter  storeFault = "panics after it took effect"
	ctxBefore   storeFault = "begins just after the request's context has ended"
	ctxAfter    storeFault = "takes effect, and then the request's context ends"
)

var storeFaults = []storeFault{
	callBefore, callAfter, callCommit, panicBefore, panicAfter, ctxBefore, ctxAfter,
}

var errCall = errors.New("injected at the store")

// A faultyStore is a store on which one call fails.
type faultyStore struct {
	*sqlstore.Store

	mu     sync.Mutex
	left   int // calls until the one that fails; 0 if none does
	fault  storeFault
	fired  string // the method of the call that failed
	cancel context.CancelFunc
}

// arm makes the n-th call from now fail.
func (s *faultyStore) arm(n int, f storeFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.fault, s.fired = n, f, ""
}

// disarm returns the method of the call that failed, or "" if there were fewer calls.
func (s *faultyStore) disarm() (fired string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = 0
	return s.fired
}

// requestBegins sets the function that ends the request's context.
func (s *faultyStore) requestBegins(cancel context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
}

// next returns the fault of a call, or "" if it does not fail.
func (s *faultyStore) next(method string) (storeFault, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return "", nil
	}
	if s.left--; s.left > 0 {
		return "", nil
	}
	s.fired = method
	return s.fault, s.cancel
}

// call runs one call, with its fault. If fails is true, a transaction must fail at its end.
func (s *faultyStore) call(method string, do func(fails bool) error) error {
	f, cancel := s.next(method)
	switch f {
	case callBefore:
		return errCall
	case panicBefore:
		panic(errCall)
	case ctxBefore:
		cancel()
	}
	err := do(f == callCommit)
	if err != nil {
		return err
	}
	switch f {
	case callAfter:
		return errCall
	case panicAfter:
		panic(errCall)
	case ctxAfter:
		cancel()
	}
	return nil
}

const (
	outermost = "Transaction"
	joined    = "a joined Transaction"
)

func (s *faultyStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	method := outermost
	if _, ok := sqlstore.Tx(ctx); ok {
		method = joined
	}
	return s.call(method, func(fails bool) error {
		return s.Store.Transaction(ctx, id, func(ctx context.Context) error {
			if err := fn(ctx); err != nil || !fails {
				return err
			}
			return errCall
		})
	})
}

func (s *faultyStore) CreateSession(ctx context.Context, v flowhook.Session) error {
	return s.call("CreateSession", func(bool) error { return s.Store.CreateSession(ctx, v) })
}

func (s *faultyStore) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	return s.call("ReplaceSession", func(bool) error { return s.Store.ReplaceSession(ctx, old, v) })
}

func (s *faultyStore) FindSession(ctx context.Context, id string) (v flowhook.Session, err error) {
	err = s.call("FindSession", func(bool) (err error) { v, err = s.Store.FindSession(ctx, id); return err })
	return v, err
}

func (s *faultyStore) DeleteSession(ctx context.Context, id string) error {
	return s.call("DeleteSession", func(bool) error { return s.Store.DeleteSession(ctx, id) })
}

func (s *faultyStore) DeleteSessions(ctx context.Context, id, except string) error {
	return s.call("DeleteSessions", func(bool) error { return s.Store.DeleteSessions(ctx, id, except) })
}

func (s *faultyStore) CreateToken(
	ctx context.Context, v flowhook.Token, notSince time.Time,
) (created bool, err error) {
	err = s.call("CreateToken", func(bool) (err error) {
		created, err = s.Store.CreateToken(ctx, v, notSince)
		return err
	})
	return created, err
}

func (s *faultyStore) ConsumeToken(
	ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
) (v flowhook.Token, err error) {
	err = s.call("ConsumeToken", func(bool) (err error) {
		v, err = s.Store.ConsumeToken(ctx, p, hash, now)
		return err
	})
	return v, err
}

func (s *faultyStore) CountAttempt(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	err = s.call("CountAttempt", func(bool) (err error) {
		n, err = s.Store.CountAttempt(ctx, p, identityID, a, now)
		return err
	})
	return n, err
}

func (s *faultyStore) DeleteToken(ctx context.Context, hash []byte) error {
	return s.call("DeleteToken", func(bool) error { return s.Store.DeleteToken(ctx, hash) })
}
