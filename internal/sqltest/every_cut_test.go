package sqltest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// Wherever the connection breaks, before the server gets a message or after it has answered,
// everything is stored or nothing, and the next call on the pool succeeds.
func TestCut_EveryMessage(t *testing.T) {
	const enough = 180
	cuts := map[string]int32{}
	eachWire(t, func(t *testing.T, s system) {
		var n atomic.Int32
		s.eachCall(t, func(l *lane) {
			for i, m := range l.messages() {
				n.Add(l.cuts(i+1, m, "warm"))
			}
			if l.always {
				for i, m := range l.coldMessages() {
					n.Add(l.cuts(i+1, m, "cold"))
				}
			}
		})
		t.Logf("all or nothing on %s, the connection cut at each message of each call: %d cuts", s.name, n.Load())
		cuts[s.database.name] += n.Load()
	})
	for database, n := range cuts {
		if testkit.Percent(t) >= 10 {
			require.GreaterOrEqual(t, n, int32(enough), database)
		}
	}
}

// cuts cuts the connection before and after the n-th message, and returns how often.
func (l *lane) cuts(n int, m proxy.Message, state string) (times int32) {
	l.Helper()
	for _, a := range []proxy.Action{proxy.Cut, proxy.CutAnswer} {
		if a == proxy.CutAnswer && !m.Answered {
			continue // the answer is that of a later message
		}
		what := fmt.Sprintf("%s, %s, message %d, %s, %s", l.name, state, n, m.Statement,
			map[proxy.Action]string{proxy.Cut: "cut before", proxy.CutAnswer: "cut after"}[a])
		if state == "cold" {
			l.reopen()
		}
		w, err := l.interrupted(testContext(l), n, proxy.Verdict{Do: a}, what)
		l.requireIdle(what)
		l.requireOutcome(l, l.call, w, err, what)
		l.requireServes("after " + what)
		times++
	}
	return times
}

// coldMessages returns the messages of a call on a new pool.
func (l *lane) coldMessages() []proxy.Message {
	l.Helper()
	l.reopen()
	return l.recorded()
}

// reopen replaces the pool by one without connections.
func (l *lane) reopen() {
	l.Helper()
	l.pool.close()
	l.use(l.system.pool(l, l.source, 1))
}

// Whenever the request's context is canceled, before the server gets a message or after it has
// answered, everything is stored or nothing, and the next call on the pool succeeds.
func TestCanceled_EveryMessage(t *testing.T) {
	eachWire(t, func(t *testing.T, s system) {
		var n atomic.Int32
		s.eachCall(t, func(l *lane) {
			for i, m := range l.messages() {
				l.canceled(i+1, m, false)
				n.Add(1)
				if m.Answered {
					l.canceled(i+1, m, true)
					n.Add(1)
				}
			}
		})
		t.Logf("all or nothing on %s, the context canceled at each message of each call: %d times", s.name, n.Load())
	})
}

// canceled cancels the context before or after the n-th message.
func (l *lane) canceled(n int, m proxy.Message, after bool) {
	l.Helper()
	what := fmt.Sprintf("%s, message %d, %s, canceled, after: %t", l.name, n, m.Statement, after)
	ctx, cancel := context.WithCancel(testContext(l))
	defer cancel()
	v := proxy.Verdict{Before: cancel}
	if after {
		v = proxy.Verdict{After: cancel}
	}
	w, err := l.interrupted(ctx, n, v, what)
	if err != nil {
		require.ErrorIs(l, err, context.Canceled, what)
		require.NotErrorIs(l, err, sqlstore.ErrUnknownOutcome, what)
	}
	l.requireIdle(what)
	l.requireOutcome(l, l.call, w, err, what)
	l.requireServes("after " + what)
}
