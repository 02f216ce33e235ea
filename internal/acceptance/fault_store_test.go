package acceptance_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
)

// A fault is what goes wrong at one call of the store or of the courier.
type fault string

const (
	faultBefore fault = "fails before it takes effect"
	faultAfter  fault = "fails after it took effect"
	faultCommit fault = "is rolled back at the commit"
	faultPanic  fault = "panics"
)

var errInjected = errors.New("injected")

// A storeCall is one call of the store or of the courier, and the hook (or save) that made it.
type storeCall struct{ method, by string }

// A faultStore is a host's store with one failing call. It records every session and every token
// that was ever passed to it.
type faultStore struct {
	*flowtest.UserStore

	mu       sync.Mutex
	by       string      // the hook that is running
	calls    []storeCall // since it was armed
	failAt   int         // the call that goes wrong, once; -1: none
	fault    fault
	commit   bool // the next outermost transaction is rolled back at its commit
	sessions map[string]bool
	tokens   map[string]bool
}

// clear empties the store.
func (s *faultStore) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.UserStore, s.sessions, s.tokens = flowtest.NewUserStore(), map[string]bool{}, map[string]bool{}
	s.calls, s.failAt, s.commit = nil, -1, false
}

// arm makes the nth call from now fail.
func (s *faultStore) arm(call int, f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.failAt, s.fault = nil, call, f
}

// forget makes contents look for no recorded session but this one.
func (s *faultStore) forget(except string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions, s.tokens, s.calls = map[string]bool{except: true}, map[string]bool{}, nil
}

// seen returns the calls since arm.
func (s *faultStore) seen() []storeCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *faultStore) running(hook string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = hook
}

// count counts a call and returns its fault.
func (s *faultStore) count(method string) (f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == s.failAt {
		f, s.failAt = s.fault, -1
	}
	s.calls = append(s.calls, storeCall{method, s.by})
	return f
}

func (s *faultStore) call(method string, do func(f fault) error) error {
	f := s.count(method)
	switch f {
	case faultBefore:
		return errInjected
	case faultPanic:
		panic(errInjected)
	}
	err := do(f)
	if err == nil && f == faultAfter {
		return errInjected
	}
	return err
}

func (s *faultStore) failCommit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit = true
}

func (s *faultStore) takeCommit(outermost bool) (fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fails = outermost && s.commit
	s.commit = s.commit && !fails
	return fails
}

func (s *faultStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	method, outermost := "a joined Transaction", ctx.Value(flowtest.PendingUsersKey{}) == nil
	if outermost {
		method = "Transaction"
	}
	return s.call(method, func(f fault) error {
		return s.UserStore.Transaction(ctx, id, func(ctx context.Context) error {
			if err := fn(ctx); err != nil {
				return err
			}
			if s.takeCommit(outermost) || f == faultCommit {
				return errInjected
			}
			return nil
		})
	})
}

func (s *faultStore) CreateSession(ctx context.Context, v flowhook.Session) error {
	s.mu.Lock()
	s.sessions[v.ID] = true
	s.mu.Unlock()
	return s.call("CreateSession", func(fault) error { return s.UserStore.CreateSession(ctx, v) })
}

func (s *faultStore) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	s.mu.Lock()
	s.sessions[v.ID] = true
	s.mu.Unlock()
	return s.call("ReplaceSession", func(fault) error { return s.UserStore.ReplaceSession(ctx, old, v) })
}

func (s *faultStore) FindSession(ctx context.Context, id string) (v flowhook.Session, err error) {
	err = s.call("FindSession", func(fault) (err error) { v, err = s.UserStore.FindSession(ctx, id); return err })
	return v, err
}

func (s *faultStore) DeleteSession(ctx context.Context, id string) error {
	return s.call("DeleteSession", func(fault) error { return s.UserStore.DeleteSession(ctx, id) })
}

func (s *faultStore) DeleteSessions(ctx context.Context, id, except string) error {
	return s.call("DeleteSessions", func(fault) error { return s.UserStore.DeleteSessions(ctx, id, except) })
}

func (s *faultStore) CreateToken(ctx context.Context, v flowhook.Token,
	notSince time.Time) (created bool, err error) {
	s.mu.Lock()
	s.tokens[string(v.Hash)] = true
	s.mu.Unlock()
	err = s.call("CreateToken", func(fault) (err error) {
		created, err = s.UserStore.CreateToken(ctx, v, notSince)
		return err
	})
	return created, err
}

func (s *faultStore) ConsumeToken(ctx context.Context, p flowhook.Purpose, hash []byte,
	now time.Time) (v flowhook.Token, err error) {
	err = s.call("ConsumeToken", func(fault) (err error) {
		v, err = s.UserStore.ConsumeToken(ctx, p, hash, now)
		return err
	})
	return v, err
}

func (s *faultStore) DeleteToken(ctx context.Context, hash []byte) error {
	return s.call("DeleteToken", func(fault) error { return s.UserStore.DeleteToken(ctx, hash) })
}

func (s *faultStore) SaveUser(ctx context.Context, u flowtest.User) error {
	return s.call("SaveUser", func(fault) error { return s.UserStore.SaveUser(ctx, u) })
}

// contents is what is committed, of everything that was ever passed to the store.
type contents struct {
	sessions map[string]flowhook.Session
	tokens   map[string]flowhook.Token
	users    map[string]flowtest.User
}

// contents looks everything up and changes nothing.
func (s *faultStore) contents(now time.Time) (contents, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := contents{sessions: map[string]flowhook.Session{}, tokens: map[string]flowhook.Token{}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for id := range s.sessions {
		v, err := s.UserStore.FindSession(ctx, id)
		if err == nil {
			c.sessions[id] = v
		} else if !errors.Is(err, flowhook.ErrNotFound) {
			return c, err
		}
	}
	errOnlyLooking := errors.New("only looking")
	for hash := range s.tokens {
		err := s.UserStore.Transaction(ctx, "", func(ctx context.Context) error {
			v, err := s.UserStore.ConsumeToken(ctx, flowhook.PurposeVerification, []byte(hash), now)
			if err == nil {
				c.tokens[hash] = v
				return errOnlyLooking
			}
			return err
		})
		if !errors.Is(err, errOnlyLooking) && !errors.Is(err, flowhook.ErrNotFound) {
			return c, err
		}
	}
	s.UserStore.Mu.Lock()
	defer s.UserStore.Mu.Unlock()
	c.users = maps.Clone(s.UserStore.Users)
	return c, nil
}
