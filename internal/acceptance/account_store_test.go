package acceptance_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// An accountStore is a memstore with a table of the host's own: the addresses of each account. It
// remembers what was stored and fails where a test tells it to.
type accountStore struct {
	*memstore.Store

	mu       sync.Mutex
	accounts map[string][]flowhook.Address // committed
	sessions []string                      // the IDs of all sessions that were created, also in vain
	tokens   []flowhook.Token              // likewise
	calls    map[string]int                // by method
	fail     map[string]error              // by method
}

func newAccountStore() *accountStore {
	return &accountStore{Store: memstore.New(), accounts: map[string][]flowhook.Address{},
		calls: map[string]int{}, fail: map[string]error{}}
}

// call counts a call and returns the error that the test wants.
func (s *accountStore) call(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	return s.fail[method]
}

// count returns how often a method was called since the last count of it.
func (s *accountStore) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.calls[method]
	delete(s.calls, method)
	return n
}

// failing makes a method fail, or lets it work again if err is nil.
func (s *accountStore) failing(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

type pendingAccountsKey struct{}

func (s *accountStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if err := s.call("Transaction"); err != nil {
		return err
	}
	if ctx.Value(pendingAccountsKey{}) != nil {
		return s.Store.Transaction(ctx, id, fn)
	}
	pending := map[string][]flowhook.Address{}
	ctx = context.WithValue(ctx, pendingAccountsKey{}, pending)
	return s.Store.Transaction(ctx, id, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		maps.Copy(s.accounts, pending)
		return nil
	})
}

func (s *accountStore) CreateSession(ctx context.Context, v flowhook.Session) error {
	if err := s.call("CreateSession"); err != nil {
		return err
	}
	s.mu.Lock()
	s.sessions = append(s.sessions, v.ID)
	s.mu.Unlock()
	return s.Store.CreateSession(ctx, v)
}

func (s *accountStore) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	if err := s.call("ReplaceSession"); err != nil {
		return err
	}
	s.mu.Lock()
	s.sessions = append(s.sessions, v.ID)
	s.mu.Unlock()
	return s.Store.ReplaceSession(ctx, old, v)
}

func (s *accountStore) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
	if err := s.call("CreateToken"); err != nil {
		return false, err
	}
	created, err := s.Store.CreateToken(ctx, v, notSince)
	if created {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tokens = append(s.tokens, v)
	}
	return created, err
}

func (s *accountStore) ConsumeToken(
	ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
) (flowhook.Token, error) {
	if err := s.call("ConsumeToken"); err != nil {
		return flowhook.Token{}, err
	}
	return s.Store.ConsumeToken(ctx, p, hash, now)
}

func (s *accountStore) DeleteToken(ctx context.Context, hash []byte) error {
	if err := s.call("DeleteToken"); err != nil {
		return err
	}
	return s.Store.DeleteToken(ctx, hash)
}

func (s *accountStore) CountAttempt(
	ctx context.Context, p flowhook.Purpose, id string, a flowhook.Address, now time.Time,
) (int, error) {
	if err := s.call("CountAttempt"); err != nil {
		return 0, err
	}
	return s.Store.CountAttempt(ctx, p, id, a, now)
}

// save writes the addresses of an account, in the transaction of ctx if there is one.
func (s *accountStore) save(ctx context.Context, id string, addresses []flowhook.Address) {
	if pending, ok := ctx.Value(pendingAccountsKey{}).(map[string][]flowhook.Address); ok {
		pending[id] = slices.Clone(addresses)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id] = slices.Clone(addresses)
}

// addresses returns the addresses of an account, as the transaction of ctx sees them.
func (s *accountStore) addresses(ctx context.Context, id string) []flowhook.Address {
	if pending, ok := ctx.Value(pendingAccountsKey{}).(map[string][]flowhook.Address); ok && pending[id] != nil {
		return slices.Clone(pending[id])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accounts[id])
}

// taken reports whether another account has the address.
func (s *accountStore) taken(id string, a flowhook.Address) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, addresses := range s.accounts {
		if other != id && indexOf(addresses, a) >= 0 {
			return true
		}
	}
	return false
}

// indexOf returns where the list has the address, verified or not, or -1.
func indexOf(list []flowhook.Address, a flowhook.Address) int {
	return slices.IndexFunc(list, func(b flowhook.Address) bool { return a.Via == b.Via && a.Value == b.Value })
}

// liveSessions returns the IDs of the sessions in the store.
func (s *accountStore) liveSessions(t testing.TB) (ids []string) {
	t.Helper()
	s.mu.Lock()
	all := slices.Clone(s.sessions)
	s.mu.Unlock()
	for _, id := range all {
		if _, err := s.Store.FindSession(t.Context(), id); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

var errRollBack = errors.New("roll back")

// liveTokens returns the tokens in the store that have not expired, used or not.
func (s *accountStore) liveTokens(t testing.TB, now time.Time) (live []flowhook.Token) {
	t.Helper()
	s.mu.Lock()
	all := slices.Clone(s.tokens)
	s.mu.Unlock()
	err := s.Store.Transaction(t.Context(), "", func(ctx context.Context) error {
		for _, v := range all {
			if _, err := s.Store.ConsumeToken(ctx, v.Purpose, v.Hash, now); err == nil || errors.Is(err, flowhook.ErrUsedToken) {
				live = append(live, v)
			}
		}
		return errRollBack
	})
	require.ErrorIs(t, err, errRollBack)
	return live
}
