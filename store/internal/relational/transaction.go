package relational

import (
	"context"
	"errors"
	"slices"
	"sync"
)

var (
	errEnded      = errors.New("the transaction of this context has ended")
	errJoined     = errors.New("a joined transaction is still running")
	errUnfinished = errors.New("a joined transaction did not return")
)

// A transaction is an open transaction. The first statement that fails dooms it: it is rolled back
// at once, and later statements return an error. So nothing after a failure is ever committed.
type transaction struct {
	store *Store
	outer *transaction    // another store's, in the same context
	ctx   context.Context // of the outermost call; statements end with it
	tx    Tx
	lasts func() bool // reports whether ctx has not ended; from then on, its end has no effect

	mu     sync.Mutex // guards what follows
	doom   error      // why nothing may be committed
	lent   bool       // to the host
	held   []string   // identities whose locks last as long as the transaction
	joined int        // running calls that joined
	ended  bool
}

type transactionKey struct{}

func innermost(ctx context.Context) *transaction {
	t, _ := ctx.Value(transactionKey{}).(*transaction)
	return t
}

// transactionOf returns the store's own transaction in ctx, or nil. Stores on one pool count as one
// store, because the second would otherwise wait forever for a lock of the first.
func (s *Store) transactionOf(ctx context.Context) *transaction {
	t := innermost(ctx)
	for t != nil && t.store.Pool != s.Pool {
		t = t.outer
	}
	return t
}

// Find returns the innermost transaction of type T in ctx.
func Find[T Tx](ctx context.Context) (tx T, ok bool) {
	tx, _, ok = find[T](ctx)
	return tx, ok
}

func find[T Tx](ctx context.Context) (tx T, of *transaction, ok bool) {
	for t := innermost(ctx); t != nil; t = t.outer {
		if tx, ok := t.tx.(T); ok {
			return tx, t, true
		}
	}
	return tx, nil, false
}

// Lend is Find for the host's own statements. fail dooms the transaction.
func Lend[T Tx](ctx context.Context) (tx T, fail func(err error), ok bool) {
	tx, t, ok := find[T](ctx)
	if !ok {
		return tx, nil, false
	}
	t.lend()
	return tx, t.fail, true
}

// Transaction implements [flowhook.Store].
func (s *Store) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t := s.transactionOf(ctx); t != nil {
		return t.join(ctx, identityID, fn)
	}
	tx, err := s.Database.Begin(ctx, identityID)
	if err != nil {
		return s.explain(ctx, "begin a transaction", s.waited(ctx, err))
	}
	t := &transaction{store: s, outer: innermost(ctx), ctx: ctx, tx: tx, held: []string{identityID}}
	t.lasts = context.AfterFunc(ctx, t.abort)
	defer t.end()
	if err := fn(context.WithValue(ctx, transactionKey{}, t)); err != nil {
		return err
	}
	return t.commit()
}

func (t *transaction) join(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if err := t.lock(ctx, identityID); err != nil {
		return err
	}
	t.mu.Lock()
	err := t.usable()
	if err == nil {
		t.joined++
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}

	err = errUnfinished // for a panic or a Goexit
	defer func() {
		t.mu.Lock()
		t.joined--
		t.mu.Unlock()
		if err != nil {
			t.fail(err)
		}
	}()
	if err = fn(ctx); err == nil {
		err = ctx.Err()
	}
	return err
}

// lock waits for the identity's turn, for as long as ctx lasts, and keeps it until the transaction
// ends.
func (t *transaction) lock(ctx context.Context, identityID string) error {
	t.mu.Lock()
	held := identityID == "" || slices.Contains(t.held, identityID)
	t.mu.Unlock()
	if held {
		return nil
	}
	err := t.run(ctx, "wait for the identity", false, func(statement context.Context, _ Querier) error {
		waiting, cancel := context.WithCancel(statement)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		err := t.tx.Lock(waiting, identityID)
		if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			return errors.Join(ctx.Err(), err)
		}
		return t.store.waited(ctx, err)
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.lent { // a host that rolls back to a savepoint releases the locks that are newer
		t.held = append(t.held, identityID)
	}
	return nil
}

// run runs statements in the transaction. The first one that fails dooms it.
func (t *transaction) run(
	ctx context.Context, what string, writes bool, statements func(ctx context.Context, q Querier) error,
) error {
	t.mu.Lock()
	err, lent := t.usable(), t.lent
	t.mu.Unlock()
	if err != nil {
		return err
	}
	if err = ctx.Err(); err == nil && writes && lent {
		err = t.tx.Intact()
	}
	if err == nil {
		err = statements(statementContext{t.ctx, ctx}, t.tx)
	}
	if err != nil {
		err = t.store.explainStatement(t.ctx, what, err)
		t.fail(err)
	}
	return err
}

// A statementContext ends with one context and has the values of another.
type statementContext struct {
	context.Context
	values context.Context
}

func (c statementContext) Value(key any) any { return c.values.Value(key) }

// usable returns an error if the transaction can no longer be used.
func (t *transaction) usable() error {
	switch {
	case t.ended:
		return t.store.errorf("%w", errEnded)
	case t.doom != nil:
		return t.store.errorf("the transaction has failed: %w", t.doom)
	}
	return nil
}

// lend is called when the host asks for the transaction. From then on, a statement may fail
// unnoticed by the store, and the database may roll back. Noticing that may take extra statements,
// which a transaction that is not lent does not run.
func (t *transaction) lend() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lent || t.usable() != nil {
		return
	}
	t.lent = true
	if err := t.tx.Lend(); err != nil {
		t.doomed(t.store.explain(t.ctx, "lend the transaction", err), t.tx.Rollback)
	}
}

// fail dooms the transaction.
func (t *transaction) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doomed(err, t.tx.Rollback)
}

// abort dooms the transaction when its context has ended.
func (t *transaction) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doomed(t.ctx.Err(), t.tx.Abort)
}

// doomed is fail with t.mu held.
func (t *transaction) doomed(err error, rollback func()) {
	if t.doom == nil {
		t.doom = err
		rollback()
	}
}

func (t *transaction) commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(); err != nil {
		return err
	}
	if t.joined > 0 {
		return t.store.errorf("%w", errJoined)
	}
	if !t.lasts() || t.ctx.Err() != nil { // a context ends before its AfterFunc runs
		return t.ctx.Err()
	}
	if err := t.tx.Commit(); err != nil {
		return t.store.explain(context.WithoutCancel(t.ctx), "commit", err)
	}
	return nil
}

// end rolls back what is not committed, and lets the next transaction begin.
func (t *transaction) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.lasts()
	t.tx.Close()
}
