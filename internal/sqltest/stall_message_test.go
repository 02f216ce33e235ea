package sqltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// At whatever message of its end a transaction stalls, the call returns, everything is stored or
// nothing, and the pool recovers.
func TestStall_AnyMessage(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		for name, lend := range lendings {
			for _, refused := range []bool{false, true} {
				t.Run(name+"/"+map[bool]string{false: "commit", true: "rollback"}[refused], func(t *testing.T) {
					h := newStalling(t, d, "")
					requireNoneLeft(t)
					all := h.stallAt(proxy.Forward, 0, refused, lend)
					require.NotZero(t, all)
					for a := range stalls {
						for n := range all {
							h.stallAt(a, n+1, refused, lend)
						}
					}
				})
			}
		}
	})
}

// stallAt does a to the n-th message after fn, and returns how many messages there were.
func (h *stalling) stallAt(a proxy.Action, n int32, refused bool, lend func(ctx context.Context)) (messages int32) {
	what := fmt.Sprintf("message %d, %s", n, stalls[a])
	sessions := []flowhook.Session{newSession("a"), newSession("a")}
	ctx, cancel := context.WithCancel(testContext(h.t))
	defer cancel()
	var ends atomic.Bool
	var seen atomic.Int32
	h.proxy.On(func(m proxy.Message) proxy.Verdict {
		if ends.Load() && m.Kind != proxy.Opens && seen.Add(1) == n {
			return proxy.Verdict{Do: a}
		}
		return proxy.Verdict{}
	})
	store := h.store
	if n == 0 {
		store = h.patient
	}
	err := h.returns(func() error {
		return store.Transaction(ctx, "a", func(ctx context.Context) error {
			lend(ctx)
			for _, s := range sessions {
				if err := store.CreateSession(ctx, s); err != nil {
					return err
				}
			}
			ends.Store(true)
			if n > 0 {
				time.AfterFunc(stallLimit, cancel) // limits statements other than commit and rollback
			}
			if refused {
				return errRefused
			}
			return nil
		})
	})
	messages = seen.Load()
	h.proxy.Cut()
	h.requireServes("after " + what)
	stored := h.stored(sessions...)
	switch {
	case err == nil:
		require.Equal(h.t, 2, stored, what)
	case errors.Is(err, sqlstore.ErrUnknownOutcome):
		require.Contains(h.t, []int{0, 2}, stored, what)
	default:
		require.Zero(h.t, stored, "%s: %v", what, err)
	}
	if n == 0 {
		require.Equal(h.t, refused, err != nil, err)
	}
	return messages
}

// The context ends when the transaction begins. Before the store notices, database/sql has sent a
// ROLLBACK of its own.
func TestStall_RollbackByDatabaseSQL(t *testing.T) {
	d := mariaDB
	h := newStalling(t, d, "")
	db, f := d.faulty(t, h.source)
	h.use(db, d.dialect)
	h.requireServes("before the stall")
	require.NoError(t, signIn(t, h.store), "the first use of a store checks the connection")
	f.arm(0, "")
	h.requireServes("before the stall")
	begin := slices.Index(f.seen, "Begin") + 1

	requireNoneLeft(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	f.requestBegins(cancel)
	f.arm(begin, endAfter)
	h.proxy.On(proxy.Statement("ROLLBACK", proxy.Hold))
	slow := slowContext{ctx, func() {
		waitUntil(t, func() string {
			if h.proxy.Held() == 0 {
				return "database/sql did not roll back"
			}
			return ""
		})
	}}
	err := h.returns(func() error {
		return h.store.Transaction(slow, "a", func(context.Context) error {
			t.Error("fn ran after the end of its context")
			return nil
		})
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "Begin", f.disarm())
	require.Equal(t, 1, h.proxy.Held(), "the ROLLBACK is still being held")
	h.proxy.Cut()
	h.requireServes("after the stall")
}

// A slowContext waits in Err before it returns an error, but not in Done and AfterFunc.
type slowContext struct {
	context.Context
	wait func()
}

func (c slowContext) Err() error {
	err := c.Context.Err()
	if err != nil {
		c.wait()
	}
	return err
}

func (c slowContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }
