package sqltest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A stallCase is a way in which a run reaches COMMIT or ROLLBACK.
type stallCase struct {
	name       string
	statement  string
	save, hook func(end context.CancelFunc) error // nil if it succeeds
	err        error                              // nil allows any error
}

func (d database) stallCases() []stallCase {
	refuses := func(context.CancelFunc) error { return errRefused }
	panics := func(context.CancelFunc) error { panic(errRefused) }
	ends := func(end context.CancelFunc) error { end(); return nil }
	return []stallCase{
		{name: "COMMIT", statement: d.commit, err: sqlstore.ErrUnknownOutcome},
		{name: "ROLLBACK/save fails", statement: "ROLLBACK", save: refuses, err: errRefused},
		{name: "ROLLBACK/save panics", statement: "ROLLBACK", save: panics},
		{name: "ROLLBACK/hook refuses", statement: "ROLLBACK", hook: refuses, err: errRefused},
		{name: "ROLLBACK/hook panics", statement: "ROLLBACK", hook: panics},
		{name: "ROLLBACK/context ends", statement: "ROLLBACK", hook: ends, err: context.Canceled},
	}
}

// The server accepts COMMIT or ROLLBACK and does not answer.
func TestStall(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		h := newStalling(t, d, "")
		for _, c := range d.stallCases() {
			for a := range stalls {
				if a == proxy.HoldAnswer && c.name != "COMMIT" {
					continue // it makes no difference
				}
				for name, lend := range lendings {
					t.Run(c.name+"/"+stalls[a]+"/"+name, func(t *testing.T) {
						requireNoneLeft(t)
						h.t = t
						h.requireEnds(c, a, lend, d.closesAtOnce)
					})
				}
			}
		}
	})
}

// requireEnds asserts that a run ends although the server stalls, and that the pool recovers.
func (h *stalling) requireEnds(c stallCase, a proxy.Action, lend func(context.Context), lockFree bool) {
	h.t.Helper()
	ctx, end := context.WithCancel(testContext(h.t))
	defer end()
	session := newSession("a")
	complete := h.complete(ctx, h.store, func(ctx context.Context) error {
		lend(ctx)
		if err := h.store.CreateSession(ctx, session); err != nil || c.save == nil {
			return err
		}
		return c.save(end)
	}, func() error {
		if c.hook == nil {
			return nil
		}
		return c.hook(end)
	})
	h.proxy.On(proxy.Statement(c.statement, a))
	err := h.returns(complete)
	require.Error(h.t, err)
	if c.err != nil {
		require.ErrorIs(h.t, err, c.err)
	}
	if c.err != context.Canceled {
		require.NotErrorIs(h.t, err, context.Canceled)
		require.NotErrorIs(h.t, err, context.DeadlineExceeded)
	}
	require.Zero(h.t, h.db.Stats().OpenConnections, "the connection was not dropped")
	if lockFree {
		h.requireLockFree("during the stall")
	}

	h.proxy.Cut()
	h.requireServes("after the stall")
	h.requireLockFree("after the stall")
	stored := 0
	if a == proxy.HoldAnswer && c.name == "COMMIT" {
		stored = 1
	}
	require.Equal(h.t, stored, h.stored(session))
}

// The server answers COMMIT late, but within the limit.
func TestStall_LateAnswer(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		for a, name := range stalls {
			t.Run(name, func(t *testing.T) {
				h := newStalling(t, d, "")
				h.proxy.On(proxy.Statement(d.commit, a))
				session := newSession("a")
				complete := h.complete(testContext(t), h.patient, func(ctx context.Context) error {
					return h.patient.CreateSession(ctx, session)
				}, func() error { return nil })
				done := make(chan error, 1)
				go func() { done <- complete() }()
				require.Eventually(t, func() bool { return h.proxy.Held() > 0 }, stallPatience, time.Millisecond)
				select {
				case err := <-done:
					t.Fatalf("Complete did not wait for the answer: %v", err)
				default:
				}
				h.proxy.Heal()
				require.NoError(t, <-done)
				require.Equal(t, 1, h.stored(session))
				require.Equal(t, 1, h.db.Stats().OpenConnections, "the connection is kept")
			})
		}
	})
}

// A request waits for a connection while the only one is dropped. database/sql opens another in the
// background, without the context of a request, and the server does not answer that either. A
// timeout of the driver ends the wait.
func TestStall_ConnectionOpens(t *testing.T) {
	eachServer(t, func(t *testing.T, d database) {
		h := newStalling(t, d, d.connectTimeout)
		requireNoneLeft(t)
		h.proxy.On(func(m proxy.Message) proxy.Verdict {
			if m.Kind == proxy.Opens || strings.EqualFold(m.Statement, d.commit) {
				return proxy.Verdict{Do: proxy.Hold}
			}
			return proxy.Verdict{}
		})
		nothing := func(context.Context) error { return nil }
		waiting, waited := make(chan struct{}), make(chan error, 1)
		go func() {
			<-waiting
			ctx, cancel := context.WithTimeout(context.Background(), 2*stallLimit)
			defer cancel()
			waited <- h.store.Transaction(ctx, "b", nothing)
		}()
		require.ErrorIs(t, h.returns(func() error {
			return h.store.Transaction(testContext(t), "a", func(context.Context) error {
				close(waiting)
				waitUntil(t, func() string {
					if h.db.Stats().WaitCount == 0 {
						return "no request waits for a connection"
					}
					return ""
				})
				return nil
			})
		}), sqlstore.ErrUnknownOutcome)
		require.ErrorIs(t, <-waited, context.DeadlineExceeded)
		require.Equal(t, 1, h.db.Stats().OpenConnections, "a connection is being opened")

		h.proxy.On(nil) // the connection that is being opened still hangs
		require.NoError(t, h.returns(func() (err error) {
			for range 2 { // the first call may get the error of the connection that hung
				if err = h.store.Transaction(testContext(t), "c", nothing); err == nil {
					break
				}
			}
			return err
		}))
		h.proxy.Cut()
	})
}
