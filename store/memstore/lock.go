package memstore

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrDeadlock means that a transaction cannot lock an identity: its holder waits, directly or
// through others, for an identity that this transaction holds. Retry the whole transaction.
var ErrDeadlock = errors.New("memstore: transactions wait for each other")

// locks are the identities that transactions hold. A free identity takes no memory.
type locks struct {
	mu         sync.Mutex
	byIdentity map[string]*lock
}

type lock struct {
	identityID string
	holder     *tx
	queue      []*waiter // first come, first served
}

type waiter struct {
	tx   *tx
	turn chan struct{} // closed when the transaction holds the lock, or is over
}

// acquire waits until t holds the identity, or is over. t holds it until release, and may acquire it
// again.
func (ls *locks) acquire(ctx context.Context, t *tx, identityID string) error {
	if identityID == "" {
		return nil
	}
	w, err := ls.enqueue(t, identityID)
	if w == nil {
		return err
	}
	select {
	case <-w.turn:
		return ctx.Err() // both may have happened at once
	case <-ctx.Done():
		ls.leave(w, identityID)
		return ctx.Err()
	}
}

// enqueue takes the lock, or returns a waiter for it.
func (ls *locks) enqueue(t *tx, identityID string) (*waiter, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if t.over {
		return nil, errEnded
	}
	l := ls.byIdentity[identityID]
	if l == nil {
		l = &lock{identityID: identityID, holder: t}
		ls.byIdentity[identityID] = l
		t.holds = append(t.holds, l)
		return nil, nil
	}
	if l.holder == t {
		return nil, nil
	}
	w := &waiter{tx: t, turn: make(chan struct{})}
	l.queue = append(l.queue, w)
	t.waits = append(t.waits, l)
	if t.waitsFor(t, make(map[*tx]bool)) {
		l.remove(w)
		return nil, ErrDeadlock
	}
	return w, nil
}

// leave ends a wait. If t has the lock by now, it is released with t's other locks.
func (ls *locks) leave(w *waiter, identityID string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.byIdentity[identityID]; l != nil {
		l.remove(w)
	}
}

// release releases all locks of t, and ends the waits of joined calls that are still running.
func (ls *locks) release(t *tx) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	t.over = true
	for _, l := range slices.Clone(t.waits) {
		for _, w := range slices.Clone(l.queue) {
			if w.tx == t {
				l.remove(w)
				close(w.turn)
			}
		}
	}
	for _, l := range t.holds {
		if len(l.queue) == 0 {
			delete(ls.byIdentity, l.identityID)
			continue
		}
		l.handOver(l.queue[0].tx)
	}
}

// handOver gives the lock to t and ends all its waits for it.
func (l *lock) handOver(t *tx) {
	l.holder = t
	t.holds = append(t.holds, l)
	for _, w := range slices.Clone(l.queue) {
		if w.tx == t {
			l.remove(w)
			close(w.turn)
		}
	}
}

// remove removes w from the queue if it is in it.
func (l *lock) remove(w *waiter) {
	i := slices.Index(l.queue, w)
	if i < 0 {
		return
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	w.tx.waits = slices.Delete(w.tx.waits, slices.Index(w.tx.waits, l), slices.Index(w.tx.waits, l)+1)
}

// waitsFor reports whether t waits for goal, directly or through others: for the holder of a lock,
// or for those before it in the queue.
func (t *tx) waitsFor(goal *tx, seen map[*tx]bool) bool {
	seen[t] = true
	for _, l := range t.waits {
		if l.holder == goal || !seen[l.holder] && l.holder.waitsFor(goal, seen) {
			return true
		}
		for _, w := range l.queue {
			if w.tx == t {
				break
			}
			if w.tx == goal || !seen[w.tx] && w.tx.waitsFor(goal, seen) {
				return true
			}
		}
	}
	return false
}
