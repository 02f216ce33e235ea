package sqltest

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
	"github.com/flowhook/flowhook/internal/testkit"
)

// A lane runs one call again and again, with a pool of one connection through a proxy.
type lane struct {
	testing.TB
	call
	system system
	source string // by way of the proxy
	proxy  *proxy.Proxy
	pool   pool

	brief, patient *app // with stallLimit and patience, on one pool
	direct         *app // without the proxy
	outbox         bool // of the apps
	counter
}

// FailNow may be called in a goroutine of the lane's own, unlike the method of a testing.T.
func (l *lane) FailNow() {
	l.Fail()
	runtime.Goexit()
}

// newLane returns a lane in the database of the source.
func newLane(t testing.TB, s system, c call, source string, outbox bool) *lane {
	t.Helper()
	db := s.database.connect(t, source+s.options)
	db.SetMaxOpenConns(1) // a server has few connections for all lanes
	l := &lane{TB: t, call: c, system: s, counter: counter{s.database, db}}
	l.direct = newApp(t, sqlPool{db, s.database}, patience, outbox)
	l.proxy, l.source = s.database.through(t, source+s.options)
	l.outbox = outbox
	l.use(s.pool(t, l.source, 1))
	return l
}

// use makes apps on a pool.
func (l *lane) use(p pool) {
	l.Helper()
	l.pool = p
	l.brief, l.patient = newApp(l, p, stallLimit, l.outbox), newApp(l, p, patience, l.outbox)
}

// newSource returns a new database with the tables of the store and of an app.
func (s system) newSource(t testing.TB) (source string) {
	t.Helper()
	source = s.database.migrated(t)
	db := s.database.connect(t, source)
	defer db.Close()
	exec(t, db, appTable)
	return source
}

// eachCall runs a test with a lane for each call, all at the same time, because most of the time
// they wait. Each lane has a database of its own.
func (s system) eachCall(t *testing.T, test func(l *lane)) {
	t.Helper()
	var lanes []*lane
	for _, c := range calls {
		if c.always || testkit.Percent(t) >= 10 {
			lanes = append(lanes, newLane(t, s, c, s.newSource(t), true))
		}
	}
	together(test, lanes...)
}

// together runs a test with each lane, in goroutines of their own.
func together(test func(l *lane), lanes ...*lane) {
	var running sync.WaitGroup
	for _, l := range lanes {
		running.Go(func() { test(l) })
	}
	running.Wait()
}

// requireServes asserts that the pool serves a call, and that the call has all its effects.
func (l *lane) requireServes(when string) {
	l.Helper()
	w := l.prepare(l, l.direct, l.counter)
	err := l.returns(when, func() error { return w.do(testContext(l), l.patient) })
	require.NoError(l, err, when)
	l.requireOutcome(l, l.call, w, err, when)
}

// messages returns the messages of a call on a connection that has served it before.
func (l *lane) messages() []proxy.Message {
	l.Helper()
	l.requireServes("first") // now the driver has prepared what it prepares
	return l.recorded()
}

// recorded returns the messages of a call on the pool as it is.
func (l *lane) recorded() (all []proxy.Message) {
	l.Helper()
	var mu sync.Mutex
	l.on(func(m proxy.Message) proxy.Verdict {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, m)
		return proxy.Verdict{}
	})
	l.requireServes("then")
	l.proxy.On(nil)
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(l, all)
	return slices.Clone(all)
}

// on is the proxy's On, without the messages by which pgx checks a connection that it has not used
// for a while.
func (l *lane) on(decide func(m proxy.Message) proxy.Verdict) {
	l.proxy.On(func(m proxy.Message) proxy.Verdict {
		if m.Statement == "-- ping" {
			return proxy.Verdict{}
		}
		return decide(m)
	})
}

// returns asserts that do returns, although the server may stall.
func (l *lane) returns(what string, do func() error) error {
	l.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		l.proxy.Cut() // without it, the pool would not close
		require.Fail(l, "the call did not return", what)
		return nil
	}
}

// requireIdle asserts that all connections are soon back in the pool, or dropped.
func (l *lane) requireIdle(what string) {
	l.Helper()
	require.Eventually(l, func() bool {
		inUse, _ := l.pool.connections()
		return inUse == 0
	}, stallPatience, time.Millisecond, "%s: a connection is still in use", what)
}

// interrupted runs the call while its n-th message, counting from 1, gets the verdict.
func (l *lane) interrupted(ctx context.Context, n int, v proxy.Verdict, what string) (w work, err error) {
	l.Helper()
	reached := make(chan struct{})
	before := v.Before
	v.Before = func() {
		close(reached)
		if before != nil {
			before()
		}
	}
	w = l.prepare(l, l.direct, l.counter)
	l.on(proxy.Nth(n, v))
	err = l.returns(what, func() error { return w.do(ctx, l.brief) })
	select {
	case <-reached:
	default:
		require.Fail(l, "the call did not send the message", "%s: %v", what, err)
	}
	return w, err
}
