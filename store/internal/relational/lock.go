package relational

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/flowhook/flowhook"
)

// LockKey returns the number of an identity's lock. Two identities with the same number wait for
// each other, which is harmless.
func LockKey(identityID string) uint64 {
	sum := sha256.Sum256([]byte("flowhook:" + identityID))
	return binary.BigEndian.Uint64(sum[:8])
}

// verifyWait is how long the second transaction of Verify must wait for the first.
const verifyWait = 250 * time.Millisecond

var errNoLock = errors.New("two transactions of one identity ran at the same time: " +
	"the server ignores advisory locks, as CockroachDB does; set Options.RowLocks")

// Verify checks that transactions of one identity wait for each other: it opens two at once, on two
// connections. It changes nothing.
func (s *Store) Verify(ctx context.Context) error {
	const what = "verify the identity lock"
	if s.transactionOf(ctx) != nil {
		return s.errorf("%s: the context is a transaction's; call Verify when the service starts", what)
	}
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	identityID := rand.Text()
	connected, locked := make(chan struct{}), make(chan struct{})
	release, second := make(chan struct{}), make(chan error, 1)
	go func() {
		second <- s.Transaction(ctx, "", func(ctx context.Context) error {
			if _, err := s.FindSession(ctx, identityID); !errors.Is(err, flowhook.ErrNotFound) {
				return err // so that the statement after this one only waits for the lock
			}
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
		wait := time.NewTimer(verifyWait)
		defer wait.Stop()
		select {
		case <-locked:
			return errNoLock
		case <-wait.C:
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
