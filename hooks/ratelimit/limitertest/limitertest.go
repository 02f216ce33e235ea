// Package limitertest tests that a limiter keeps the promises of [ratelimit.Limiter]. Call [Run] in
// a test of your limiter.
package limitertest

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/hooks/ratelimit"
)

// every is long, so that the time that a case takes makes no difference.
const every = time.Hour

// Run runs each case as a subtest of t. newLimiter returns a limiter and a function that lets time
// pass for it; it is called once for each case. It may return the same limiter each time, because
// the cases use buckets of their own.
func Run(t *testing.T, newLimiter func(t *testing.T) (l ratelimit.Limiter, pass func(d time.Duration))) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, pass := newLimiter(t)
			c.run(&env{t, l, pass})
		})
	}
}

var cases = []struct {
	name string
	run  func(e *env)
}{
	{"Take/bucket_holds_tries", holdsTries},
	{"Take/attempts_come_back", comesBack},
	{"Take/full_bucket_gets_no_more", neverOverfull},
	{"Take/all_or_none", allOrNone},
	{"Take/longest_wait_counts", longestWait},
	{"Take/parallel", parallel},
	{"Take/canceled", canceled},
	{"GiveBack/attempt_is_there_again", givesBack},
	{"GiveBack/full_bucket_stays_full", givesBackTooMuch},
	{"GiveBack/late", givesBackLate},
	{"GiveBack/one_bucket_twice", givesBackTwice},
	{"changed_limits_apply", changedLimits},
}

type env struct {
	*testing.T
	limiter ratelimit.Limiter
	pass    func(d time.Duration)
}

// bucket returns a new bucket.
func bucket(tries int) ratelimit.Bucket {
	return ratelimit.Bucket{Key: rand.Text(), Tries: tries, Every: every}
}

func (e *env) take(buckets ...ratelimit.Bucket) (wait time.Duration, empty int) {
	e.Helper()
	wait, empty, err := e.limiter.Take(e.Context(), buckets)
	require.NoError(e, err)
	require.GreaterOrEqual(e, wait, time.Duration(0))
	return wait, empty
}

func (e *env) giveBack(buckets ...ratelimit.Bucket) {
	e.Helper()
	require.NoError(e, e.limiter.GiveBack(e.Context(), buckets))
}

// requireLeft takes what is left in a bucket, which must be n attempts.
func (e *env) requireLeft(n int, b ratelimit.Bucket) {
	e.Helper()
	left := 0
	for wait, _ := e.take(b); wait == 0; wait, _ = e.take(b) {
		left++
		require.LessOrEqual(e, left, n, "the bucket has more attempts than it should")
	}
	require.Equal(e, n, left, "the bucket has fewer attempts than it should")
}

// requireWait requires that the wait is d, or up to a minute less, which the case itself has taken.
func (e *env) requireWait(d, wait time.Duration) {
	e.Helper()
	require.LessOrEqual(e, wait, d)
	require.Greater(e, wait, d-time.Minute)
}

func holdsTries(e *env) {
	for _, tries := range []int{1, 2, 7} {
		b := bucket(tries)
		e.requireLeft(tries, b)
		wait, empty := e.take(b)
		e.requireWait(every, wait)
		require.Zero(e, empty)
	}
}

func comesBack(e *env) {
	b := bucket(3)
	e.requireLeft(3, b)
	e.pass(every / 2)
	wait, _ := e.take(b)
	e.requireWait(every/2, wait)
	e.pass(every / 2)
	e.requireLeft(1, b)
	e.pass(2*every + every/2)
	e.requireLeft(2, b)
}

func neverOverfull(e *env) {
	b := bucket(3)
	e.requireLeft(3, b)
	e.pass(100 * every)
	e.requireLeft(3, b)
}

func allOrNone(e *env) {
	empty, one, fresh := bucket(1), bucket(1), bucket(2)
	e.requireLeft(1, empty)
	wait, at := e.take(fresh, empty, one)
	require.NotZero(e, wait)
	require.Equal(e, 1, at)
	e.requireLeft(1, one)
	e.requireLeft(2, fresh)

	a, b := bucket(2), bucket(3)
	wait, _ = e.take(a, b)
	require.Zero(e, wait)
	e.requireLeft(1, a)
	e.requireLeft(2, b)
}

func longestWait(e *env) {
	short, long := bucket(1), bucket(1)
	long.Every = 10 * every
	e.requireLeft(1, short)
	e.requireLeft(1, long)
	for at, buckets := range [][]ratelimit.Bucket{{long, short}, {short, long}} {
		wait, empty := e.take(buckets...)
		e.requireWait(10*every, wait)
		require.Equal(e, at, empty)
	}
}

// parallel takes from two buckets in opposite orders, so that a limiter that locks one after the
// other would be stuck.
func parallel(e *env) {
	scarce, plenty := bucket(7), bucket(1000)
	var passed atomic.Int64
	var all sync.WaitGroup
	for i := range 100 {
		buckets := []ratelimit.Bucket{scarce, plenty}
		if i%2 == 1 {
			buckets = []ratelimit.Bucket{plenty, scarce}
		}
		all.Go(func() {
			if wait, _, err := e.limiter.Take(e.Context(), buckets); err != nil {
				e.Error(err)
			} else if wait == 0 {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(e, 7, passed.Load())
	e.requireLeft(993, plenty)
}

func canceled(e *env) {
	b := bucket(1)
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	wait, _, err := e.limiter.Take(ctx, []ratelimit.Bucket{b})
	if err == nil { // it does not wait for anything, so it may ignore the context
		require.Zero(e, wait)
		require.NoError(e, e.limiter.GiveBack(ctx, []ratelimit.Bucket{b}))
		e.requireLeft(1, b)
		return
	}
	require.ErrorIs(e, err, context.Canceled)
	e.requireLeft(1, b)
	require.ErrorIs(e, e.limiter.GiveBack(ctx, []ratelimit.Bucket{b}), context.Canceled)
	e.requireLeft(0, b)
}

func givesBack(e *env) {
	a, b := bucket(2), bucket(5)
	for range 10 {
		wait, _ := e.take(a, b)
		require.Zero(e, wait)
		e.giveBack(a, b)
	}
	e.requireLeft(2, a)
	e.requireLeft(5, b)
	e.giveBack(a)
	e.requireLeft(1, a)
	e.requireLeft(0, b)
}

func givesBackTooMuch(e *env) {
	b := bucket(3)
	e.giveBack(b) // never used
	e.requireLeft(3, b)
	for range 10 {
		e.giveBack(b)
	}
	e.requireLeft(3, b)
}

func givesBackLate(e *env) {
	b := bucket(3)
	wait, _ := e.take(b)
	require.Zero(e, wait)
	e.pass(10 * every)
	e.giveBack(b)
	e.requireLeft(3, b)
}

func givesBackTwice(e *env) {
	b := bucket(3)
	e.requireLeft(3, b)
	e.giveBack(b, b)
	e.requireLeft(2, b)
}

// changedLimits lets the bucket become full before and after the change, because limiters may count
// what is missing in attempts or in time.
func changedLimits(e *env) {
	b := bucket(5)
	e.requireLeft(5, b)
	e.pass(5 * every)
	b.Every /= 10
	b.Tries = 2
	e.requireLeft(2, b)
	e.pass(every / 10)
	e.requireLeft(1, b)
	b.Tries = 10
	e.take(b)
	e.pass(every)
	e.requireLeft(10, b)
}
