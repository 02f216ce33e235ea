package flowtest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// A RecordingStore records its calls and fails where a test tells it to.
type RecordingStore struct {
	*memstore.Store
	Mu    sync.Mutex
	Calls []string         // "FindSession <id>"
	Fail  map[string]error // by method, or by call
}

// NewRecordingStore returns an empty RecordingStore.
func NewRecordingStore() *RecordingStore {
	return &RecordingStore{Store: memstore.New(), Fail: map[string]error{}}
}

func (w *RecordingStore) record(method, about string) error {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	call := strings.TrimSpace(method + " " + about)
	w.Calls = append(w.Calls, call)
	return cmp.Or(w.Fail[method], w.Fail[call])
}

// Take returns the calls since the last Take, except those of Transaction.
func (w *RecordingStore) Take() (calls []string) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	for _, c := range w.Calls {
		if !strings.HasPrefix(c, "Transaction") {
			calls = append(calls, c)
		}
	}
	w.Calls = nil
	return calls
}

// Created returns the IDs of the sessions that were to be stored since the last Take.
func (w *RecordingStore) Created() (ids []string) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	for _, c := range w.Calls {
		words := strings.Fields(c)
		if words[0] == "CreateSession" || words[0] == "ReplaceSession" {
			ids = append(ids, words[len(words)-1])
		}
	}
	return ids
}

func (w *RecordingStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if err := w.record("Transaction", id); err != nil {
		return err
	}
	return w.Store.Transaction(ctx, id, fn)
}

func (w *RecordingStore) CreateSession(ctx context.Context, s flowhook.Session) error {
	if err := w.record("CreateSession", s.ID); err != nil {
		return err
	}
	return w.Store.CreateSession(ctx, s)
}

func (w *RecordingStore) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	if err := w.record("FindSession", id); err != nil {
		return flowhook.Session{}, err
	}
	return w.Store.FindSession(ctx, id)
}

func (w *RecordingStore) DeleteSession(ctx context.Context, id string) error {
	if err := w.record("DeleteSession", id); err != nil {
		return err
	}
	return w.Store.DeleteSession(ctx, id)
}

func (w *RecordingStore) ReplaceSession(ctx context.Context, old []string, s flowhook.Session) error {
	if err := w.record("ReplaceSession", strings.Join(old, " ")+" "+s.ID); err != nil {
		return err
	}
	return w.Store.ReplaceSession(ctx, old, s)
}

func (w *RecordingStore) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	if err := w.record("DeleteSessions", identityID); err != nil {
		return err
	}
	return w.Store.DeleteSessions(ctx, identityID, exceptID)
}

func (w *RecordingStore) CreateToken(ctx context.Context, v flowhook.Token,
	notSince time.Time) (bool, error) {
	if err := w.record("CreateToken", ""); err != nil {
		return false, err
	}
	return w.Store.CreateToken(ctx, v, notSince)
}

func (w *RecordingStore) ConsumeToken(ctx context.Context, p flowhook.Purpose, hash []byte,
	now time.Time) (flowhook.Token, error) {
	if err := w.record("ConsumeToken", ""); err != nil {
		return flowhook.Token{}, err
	}
	return w.Store.ConsumeToken(ctx, p, hash, now)
}

func (w *RecordingStore) DeleteToken(ctx context.Context, hash []byte) error {
	if err := w.record("DeleteToken", ""); err != nil {
		return err
	}
	return w.Store.DeleteToken(ctx, hash)
}

// A DownStore fails every call.
type DownStore struct{ *UserStore }

// ErrStoreDown is the error of a DownStore.
var ErrStoreDown = errors.New("the database is down")

func (DownStore) Transaction(context.Context, string, func(context.Context) error) error {
	return ErrStoreDown
}

func (DownStore) FindSession(context.Context, string) (flowhook.Session, error) {
	return flowhook.Session{}, ErrStoreDown
}

func (DownStore) CreateSession(context.Context, flowhook.Session) error { return ErrStoreDown }

func (DownStore) DeleteSession(context.Context, string) error { return ErrStoreDown }

func (DownStore) ReplaceSession(context.Context, []string, flowhook.Session) error {
	return ErrStoreDown
}

func (DownStore) DeleteSessions(ctx context.Context, _, _ string) error { return ErrStoreDown }

// A UserStore is a memstore that keeps the host's own table in the same transactions.
type UserStore struct {
	*memstore.Store
	Mu    sync.Mutex
	Users map[string]User
}

// NewUserStore returns an empty UserStore.
func NewUserStore() *UserStore {
	return &UserStore{Store: memstore.New(), Users: map[string]User{}}
}

// PendingUsersKey is the context key of the users saved in a transaction, a map[string]User.
type PendingUsersKey struct{}

func (s *UserStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if ctx.Value(PendingUsersKey{}) != nil {
		return s.Store.Transaction(ctx, id, fn)
	}
	pending := map[string]User{}
	var was map[string]User
	err := s.Store.Transaction(context.WithValue(ctx, PendingUsersKey{}, pending), id, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		s.Mu.Lock()
		defer s.Mu.Unlock()
		was = maps.Clone(s.Users)
		maps.Copy(s.Users, pending)
		return nil
	})
	if err != nil && was != nil {
		s.Mu.Lock()
		defer s.Mu.Unlock()
		for id := range pending {
			delete(s.Users, id)
			if u, ok := was[id]; ok {
				s.Users[id] = u
			}
		}
	}
	return err
}

// SaveUser saves a user, in the transaction of ctx if there is one.
func (s *UserStore) SaveUser(ctx context.Context, u User) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if pending, ok := ctx.Value(PendingUsersKey{}).(map[string]User); ok {
		pending[u.ID] = u
		return nil
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Users[u.ID] = u
	return nil
}

// User returns a user, as the transaction of ctx sees it if there is one.
func (s *UserStore) User(ctx context.Context, id string) (User, bool) {
	if pending, ok := ctx.Value(PendingUsersKey{}).(map[string]User); ok {
		if u, ok := pending[id]; ok {
			return u, true
		}
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	u, ok := s.Users[id]
	return u, ok
}

// A TransactionLog is a store that records how its transactions end.
type TransactionLog struct {
	Entries   []string
	CommitErr error // what a commit that fails reports
}

// InTransactionKey is the context key that marks the context of a transaction.
type InTransactionKey struct{}

func (l *TransactionLog) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if ctx.Value(InTransactionKey{}) != nil {
		l.Entries = append(l.Entries, "join "+id)
		return fn(ctx)
	}
	l.Entries = append(l.Entries, "begin "+id)
	end := "rollback"
	defer func() { l.Entries = append(l.Entries, end) }()
	err := fn(context.WithValue(ctx, InTransactionKey{}, true))
	if err == nil {
		err = l.CommitErr
	}
	if err == nil {
		end = "commit"
	}
	return err
}
