package storetest

import (
	"context"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// A brokenStore is broken in one way, and the named cases have to notice.
type brokenStore struct {
	name   string
	caught []string
	breaks func(b *broken)
}

func (b brokenStore) make() flowhook.Store {
	s := &broken{Store: memstore.New(), issued: make(map[flowhook.Address][]flowhook.Token)}
	b.breaks(s)
	return s
}

func brokenStores() []brokenStore {
	var all []brokenStore
	all = append(all, brokenTransactions...)
	all = append(all, brokenJoins...)
	all = append(all, brokenSessions...)
	all = append(all, brokenReplacements...)
	all = append(all, brokenTokens...)
	all = append(all, brokenDeletions...)
	all = append(all, brokenPurposes...)
	all = append(all, brokenUses...)
	all = append(all, brokenData...)
	return append(all, brokenAttempts...)
}

type countFunc func(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (int, error)

// broken is memstore, but for the functions that are set. It remembers what it was given, for those
// that need it.
type broken struct {
	*memstore.Store
	transaction    func(ctx context.Context, identityID string, fn func(context.Context) error) error
	join           func(ctx context.Context, identityID string, fn func(context.Context) error) error
	context        func(ctx context.Context) context.Context // of all calls but Transaction
	createSession  func(ctx context.Context, s flowhook.Session) error
	findSession    func(ctx context.Context, id string) (flowhook.Session, error)
	deleteSession  func(ctx context.Context, id string) error
	replace        func(ctx context.Context, old []string, s flowhook.Session) error
	deleteSessions func(ctx context.Context, identityID, exceptID string) error
	create         func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error)
	consume        func(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error)
	deleteToken    func(ctx context.Context, hash []byte) error
	count          countFunc

	mu      sync.Mutex
	created []flowhook.Session
	issued  map[flowhook.Address][]flowhook.Token
}

type outsideKey struct{}

// outside returns the context of the outermost call of Transaction, or ctx if there is none.
func outside(ctx context.Context) context.Context {
	if o, ok := ctx.Value(outsideKey{}).(context.Context); ok {
		return o
	}
	return ctx
}

func inside(ctx context.Context) bool { return outside(ctx) != ctx }

func (b *broken) Transaction(ctx context.Context, identityID string, fn func(context.Context) error) error {
	run := b.Store.Transaction
	switch {
	case inside(ctx) && b.join != nil:
		run = b.join
	case !inside(ctx) && b.transaction != nil:
		run = b.transaction
	}
	if !inside(ctx) {
		out := ctx
		inner := fn
		fn = func(ctx context.Context) error { return inner(context.WithValue(ctx, outsideKey{}, out)) }
	}
	return run(ctx, identityID, fn)
}

func (b *broken) ctx(ctx context.Context) context.Context {
	if b.context != nil {
		return b.context(ctx)
	}
	return ctx
}

func (b *broken) CreateSession(ctx context.Context, s flowhook.Session) error {
	b.mu.Lock()
	b.created = append(b.created, s)
	b.mu.Unlock()
	if b.createSession != nil {
		return b.createSession(b.ctx(ctx), s)
	}
	return b.Store.CreateSession(b.ctx(ctx), s)
}

func (b *broken) ReplaceSession(ctx context.Context, old []string, s flowhook.Session) error {
	b.mu.Lock()
	b.created = append(b.created, s)
	b.mu.Unlock()
	if b.replace != nil {
		return b.replace(b.ctx(ctx), old, s)
	}
	return b.Store.ReplaceSession(b.ctx(ctx), old, s)
}

func (b *broken) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	if b.findSession != nil {
		return b.findSession(b.ctx(ctx), id)
	}
	return b.Store.FindSession(b.ctx(ctx), id)
}

func (b *broken) DeleteSession(ctx context.Context, id string) error {
	if b.deleteSession != nil {
		return b.deleteSession(b.ctx(ctx), id)
	}
	return b.Store.DeleteSession(b.ctx(ctx), id)
}

func (b *broken) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	if b.deleteSessions != nil {
		return b.deleteSessions(b.ctx(ctx), identityID, exceptID)
	}
	return b.Store.DeleteSessions(b.ctx(ctx), identityID, exceptID)
}

func (b *broken) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (created bool, err error) {
	if b.create != nil {
		created, err = b.create(b.ctx(ctx), v, notSince)
	} else {
		created, err = b.Store.CreateToken(b.ctx(ctx), v, notSince)
	}
	if created {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.issued[v.Address] = append(b.issued[v.Address], v)
	}
	return created, err
}

func (b *broken) ConsumeToken(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
	if b.consume != nil {
		return b.consume(b.ctx(ctx), p, hash, now)
	}
	return b.Store.ConsumeToken(b.ctx(ctx), p, hash, now)
}

func (b *broken) DeleteToken(ctx context.Context, hash []byte) error {
	if b.deleteToken != nil {
		return b.deleteToken(b.ctx(ctx), hash)
	}
	return b.Store.DeleteToken(b.ctx(ctx), hash)
}

func (b *broken) CountAttempt(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (int, error) {
	if b.count != nil {
		return b.count(b.ctx(ctx), p, identityID, a, now)
	}
	return b.Store.CountAttempt(b.ctx(ctx), p, identityID, a, now)
}

// sessionsOf returns the sessions of the identity that still exist.
func (b *broken) sessionsOf(ctx context.Context, identityID string) (found []flowhook.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.created {
		if _, err := b.Store.FindSession(ctx, s.ID); err == nil && s.IdentityID == identityID {
			found = append(found, s)
		}
	}
	return found
}

// lastIssued returns the last token that was created for the address.
func (b *broken) lastIssued(a flowhook.Address) (v flowhook.Token, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if all := b.issued[a]; len(all) > 0 {
		return all[len(all)-1], true
	}
	return v, false
}

// splitContext ends with one context and carries the values of another.
type splitContext struct {
	context.Context
	values context.Context
}

func (c splitContext) Value(key any) any { return c.values.Value(key) }
