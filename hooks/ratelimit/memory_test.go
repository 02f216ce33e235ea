package ratelimit_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/hooks/ratelimit/limitertest"
	"github.com/flowhook/flowhook/hooktest"
)

func TestMemory(t *testing.T) {
	limitertest.Run(t, func(*testing.T) (ratelimit.Limiter, func(time.Duration)) {
		clock := &hooktest.Clock{}
		return &ratelimit.Memory{Now: clock.Now}, clock.Advance
	})
}

// An attempt is there again exactly when the wait is over, whatever rounding does.
func TestMemory_WaitIsExact(t *testing.T) {
	for _, every := range []time.Duration{time.Millisecond, 7 * time.Millisecond, time.Second, 12 * time.Second,
		time.Minute, 7 * time.Hour} {
		clock := &hooktest.Clock{}
		m := &ratelimit.Memory{Now: clock.Now}
		b := []ratelimit.Bucket{{Key: "a", Tries: 3, Every: every}}
		for range 1000 {
			for {
				wait, _, err := m.Take(t.Context(), b)
				require.NoError(t, err)
				if wait > 0 {
					require.LessOrEqual(t, wait, every)
					clock.Advance(wait - min(wait, time.Microsecond))
					early, _, err := m.Take(t.Context(), b)
					require.NoError(t, err)
					require.NotZero(t, early, "%s: a microsecond early", every)
					clock.Advance(time.Microsecond)
					break
				}
			}
			wait, _, err := m.Take(t.Context(), b)
			require.NoError(t, err)
			require.Zero(t, wait, every)
		}
	}
}

// The number of buckets and their memory are bounded, and so is what one that is in use loses.
func TestMemory_Bounded(t *testing.T) {
	m, now := &ratelimit.Memory{}, time.Unix(0, 0)
	m.Now = func() time.Time { return now }
	used := ratelimit.Bucket{Key: "in use", Tries: 1, Every: time.Hour}
	_, _, err := m.Take(t.Context(), []ratelimit.Bucket{used})
	require.NoError(t, err)
	const most = 40 << 20
	before := inUse()
	for i := range 1_000_000 {
		key := "0123456789012345678901234567890123456" + strconv.Itoa(1_000_000 + i)[1:] // 43 bytes
		wait, _, err := m.Take(t.Context(), []ratelimit.Bucket{{Key: key, Tries: 5, Every: time.Minute}})
		if wait != 0 || err != nil { // calls of require would take most of the time
			t.Fatal(wait, err)
		}
		if i%50_000 == 0 {
			wait, _, err = m.Take(t.Context(), []ratelimit.Bucket{used})
			require.NoError(t, err)
			require.NotZero(t, wait, "a bucket in use was dropped")
		}
	}
	grown := inUse() - before
	t.Logf("%d buckets take %d KB", m.Len(), grown>>10)
	require.Equal(t, ratelimit.DefaultMaxBuckets, m.Len())
	require.Less(t, grown, int64(most))
	runtime.KeepAlive(m)
}

// inUse returns the number of bytes in use on the heap.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemory_MaxBuckets(t *testing.T) {
	m := &ratelimit.Memory{MaxBuckets: 2}
	full := func(key string) bool {
		wait, _, err := m.Take(t.Context(), []ratelimit.Bucket{{Key: key, Tries: 1, Every: time.Hour}})
		require.NoError(t, err)
		return wait == 0
	}
	require.True(t, full("a"))
	require.True(t, full("b"))
	require.False(t, full("a"))
	require.True(t, full("c"), "drops b, which was not used for longest")
	require.False(t, full("a"))
	require.True(t, full("b"))
	require.Equal(t, 2, m.Len())
	require.Zero(t, (&ratelimit.Memory{}).Len())
}

// A refused attempt adds no bucket, so a client over its limit cannot drop those of accounts.
func TestMemory_RefusedAddsNothing(t *testing.T) {
	m := &ratelimit.Memory{}
	client := ratelimit.Bucket{Key: "client", Tries: 1, Every: time.Hour}
	for i := range 100 {
		account := ratelimit.Bucket{Key: strconv.Itoa(i), Tries: 1, Every: time.Hour}
		_, _, err := m.Take(t.Context(), []ratelimit.Bucket{account, client})
		require.NoError(t, err)
	}
	require.Equal(t, 2, m.Len())
	require.NoError(t, m.GiveBack(t.Context(), []ratelimit.Bucket{{Key: "unknown", Tries: 1, Every: time.Hour}}))
	require.Equal(t, 2, m.Len())
}

// Of 10,000 parallel attempts, exactly as many pass as the bucket holds.
func TestMemory_Parallel(t *testing.T) {
	m := &ratelimit.Memory{}
	b := []ratelimit.Bucket{{Key: "account", Tries: 50, Every: time.Hour}}
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 10_000 {
		all.Go(func() {
			if wait, _, err := m.Take(context.Background(), b); err == nil && wait == 0 {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 50, passed.Load())
}

// On a busy machine, the time limit of a request may be over before it gets its turn. That must not
// let attempts through.
func TestMemory_ContextHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var m ratelimit.Memory
	b := []ratelimit.Bucket{{Key: "a", Tries: 1, Every: time.Hour}}
	for _, want := range []bool{false, true} {
		wait, _, err := m.Take(ctx, b)
		require.NoError(t, err)
		require.Equal(t, want, wait > 0)
	}
}
