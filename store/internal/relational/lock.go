package relational

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

// LockKey returns the number of an identity's lock. Two identities with the same number wait for
// each other, which is harmless.
func LockKey(identityID string) uint64 {
	sum := sha256.Sum256([]byte("flowhook:" + identityID))
	return binary.BigEndian.Uint64(sum[:8])
}

// verifyWait is how long the second transaction of Verify must wait for the first, at least. On a
// slow connection, it must wait longer than the lock alone takes.
const verifyWait = 250 * time.Millisecond

var errNoLock = errors.New("two transactions of one identity ran at the same time: " +
	"the server ignores advisory locks, as CockroachDB does; set Options.RowLocks")

// Verify checks that transactions of one identity wait for each other: it opens two at once, on two
// connections. maxConnections is the limit of the pool; 0 means none. It changes nothing.
func (s *Store) Verify(ctx context.Context, maxConnections int) error {
	const what = "verify the identity lock"
	if maxConnections == 1 {
		return s.errorf("%s: it takes two connections at the same time, and the pool is limited to one", what)
	}
	if s.transactionOf(ctx) != nil {
		return s.errorf("%s: the context is a transaction's; call Verify when the service starts", what)
	}
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	identityID := rand.Text()
	connected, locked := make(chan struct{}), make(chan struct{})
	release, second := make(chan struct{}), make(chan error, 1)
	wait := verifyWait
	go func() {
		second <- s.Transaction(ctx, "", func(ctx context.Context) error {
			// Begin, and prepare the statement of the lock. The lock of identityID takes less time.
			began := time.Now()
			for range 2 {
				if err := s.lockAnother(ctx, identityID); err != nil {
					return err
				}
			}
			wait = max(wait, 2*time.Since(began))
			close(connected)
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
			return s.Transaction(ctx, identityID, func(context.Context) error { close(locked); return nil })
		})
	}()
	select {
	case <-connected:
	case err := <-second:
		return s.explain(outer, what, err)
	}
	err := s.Transaction(ctx, identityID, func(context.Context) error {
		close(release)
		enough := time.NewTimer(wait)
		defer enough.Stop()
		select {
		case <-locked:
			return errNoLock
		case <-enough.C:
			return nil
		}
	})
	if err != nil {
		cancel()
		<-second
	} else {
		err = <-second
	}
	if err != nil {
		return s.explain(outer, what, err)
	}
	return nil
}

// lockAnother waits for the lock of any identity that does not share the lock of this one.
func (s *Store) lockAnother(ctx context.Context, identityID string) error {
	another := rand.Text()
	for RowLock(another) == RowLock(identityID) {
		another = rand.Text()
	}
	return s.Transaction(ctx, another, func(context.Context) error { return nil })
}
