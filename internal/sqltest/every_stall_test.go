package sqltest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// contextLimit is how long the context of a call lasts after its message has stalled.
const contextLimit = 30 * time.Millisecond

// commits matches a statement that commits, but not an isolation level.
var commits = regexp.MustCompile(`(?i)\bcommit\b`)

// At whatever message the server stalls, each call returns in time, everything is stored or
// nothing, and the pool recovers.
func TestStall_EveryMessage(t *testing.T) {
	eachWire(t, func(t *testing.T, s system) {
		old := goleak.IgnoreCurrent()
		var n atomic.Int32
		t.Run("calls", func(t *testing.T) {
			s.eachCall(t, func(l *lane) {
				for i, m := range l.messages() {
					l.stalls(i+1, m, proxy.Hold)
					n.Add(1)
					if m.Answered { // otherwise the answer is that of a later message
						l.stalls(i+1, m, proxy.HoldAnswer)
						n.Add(1)
					}
				}
			})
		})
		requireNoLeak(t, old)
		t.Logf("all or nothing on %s, each message of each call stalling: %d stalls", s.name, n.Load())
	})
}

// stalls asserts that the call ends although its n-th message stalls.
func (l *lane) stalls(n int, m proxy.Message, a proxy.Action) {
	l.Helper()
	what := fmt.Sprintf("%s, message %d, %s %s", l.name, n, m.Statement, stalls[a])
	ctx, cancel := context.WithCancel(testContext(l))
	defer cancel()
	var began atomic.Int64
	w, err := l.interrupted(ctx, n, proxy.Verdict{Do: a, Before: func() {
		began.Store(time.Now().UnixNano())
		time.AfterFunc(contextLimit, cancel)
	}}, what)
	require.Less(l, time.Since(time.Unix(0, began.Load())), contextLimit+stallLimit+stallPatience, what)
	switch {
	case err == nil:
	case commits.MatchString(m.Statement):
		require.ErrorIs(l, err, sqlstore.ErrUnknownOutcome, what)
		require.NotErrorIs(l, err, context.Canceled, what)
	default:
		require.ErrorIs(l, err, context.Canceled, what)
	}
	if !l.system.closesLate {
		l.requireIdle(what)
	}
	l.proxy.Cut()
	l.requireIdle(what)
	l.requireOutcome(l, l.call, w, err, what)
	l.requireServes("after " + what)
}

// pgx and its pool wait up to 15 seconds for the server when they drop a connection.
var (
	pgxCloses    = goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgconn.(*PgConn).asyncClose.func1")
	poolDestroys = goleak.IgnoreAnyFunction("github.com/jackc/puddle/v2.(*Pool[...]).destroyAcquiredResource")
)

// requireNoLeak asserts that soon no goroutine is left but the ignored ones.
func requireNoLeak(t testing.TB, ignored ...goleak.Option) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(stallPatience); time.Now().Before(deadline); {
		if err = goleak.Find(ignored...); err == nil { // waits for half a second
			return
		}
	}
	require.NoError(t, err)
}

// If the request's context is canceled while COMMIT is not answered, the outcome is that of the
// commit: it is never an error of the context.
func TestStall_CanceledDuringCommit(t *testing.T) {
	eachWire(t, func(t *testing.T, s system) {
		for _, answered := range []bool{true, false} {
			t.Run(map[bool]string{true: "answered late", false: "not answered"}[answered], func(t *testing.T) {
				l := newLane(t, s, calls[0], s.newSource(t), true)
				together(func(l *lane) { l.commitStalls(answered) }, l)
			})
		}
	})
}

// commitStalls asserts how a call ends whose COMMIT is answered late, or never.
func (l *lane) commitStalls(answered bool) {
	l.Helper()
	l.requireServes("before the stall")
	a := l.brief
	if answered {
		a = l.patient
	}
	ctx, cancel := context.WithCancel(testContext(l))
	defer cancel()
	old := goleak.IgnoreCurrent()
	w := l.prepare(l, l.direct, l.counter)
	l.proxy.On(func(m proxy.Message) proxy.Verdict {
		if commits.MatchString(m.Statement) {
			return proxy.Verdict{Do: proxy.HoldAnswer}
		}
		return proxy.Verdict{}
	})
	done := make(chan error, 1)
	go func() { done <- w.do(ctx, a) }()
	require.Eventually(l, func() bool { return l.proxy.Held() > 0 }, stallPatience, time.Millisecond)
	cancel()
	if answered {
		l.proxy.Heal()
	}
	err := l.returns("COMMIT", func() error { return <-done })
	if answered {
		require.NoError(l, err)
	} else {
		require.ErrorIs(l, err, sqlstore.ErrUnknownOutcome)
		require.False(l, errors.Is(err, context.Canceled), err)
		requireNoLeak(l, old, pgxCloses, poolDestroys)
		l.proxy.Cut()
	}
	l.requireOutcome(l, l.call, w, err, "COMMIT")
	l.requireServes("after the stall")
}
