package ratelimit

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// DefaultMaxBuckets is the default of [Memory.MaxBuckets].
const DefaultMaxBuckets = 100_000

// A Memory is a [Limiter] in the memory of this process. Each copy of a service counts on its own,
// so n copies allow n times the attempts. It forgets everything at a restart. The zero Memory is
// ready to use. It is safe for concurrent use. It must not be copied after its first use.
type Memory struct {
	// MaxBuckets is the maximum number of buckets. One that was not used for longest is dropped and
	// starts over, full. To make it drop the bucket of an account, an attacker must use as many
	// others, each within its own limits; a refused attempt adds none. Default: DefaultMaxBuckets,
	// which take about 30 MB.
	MaxBuckets int

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	mu      sync.Mutex
	buckets *simplelru.LRU[string, *rate.Limiter]
}

// Take implements [Limiter]. It needs no other process, so it ignores ctx: on a busy machine, its
// time limit would let attempts through.
func (m *Memory) Take(_ context.Context, buckets []Bucket) (wait time.Duration, empty int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for i, b := range buckets {
		if left := m.find(b, now); left != nil {
			// Rounding may leave slightly less than a whole token. Conversion to an integer cuts it.
			if w := time.Duration((1 - left.TokensAt(now)) * float64(b.Every)); w > wait {
				wait, empty = w, i
			}
		}
	}
	if wait > 0 {
		return wait, empty, nil
	}
	for _, b := range buckets {
		left := m.find(b, now)
		if left == nil {
			left = rate.NewLimiter(rate.Every(b.Every), b.Tries)
			m.buckets.Add(b.Key, left)
		}
		left.ReserveN(now, 1) // unlike AllowN, it takes the token even if rounding left slightly less
	}
	return 0, 0, nil
}

// GiveBack implements [Limiter]. It ignores ctx, as Take does.
func (m *Memory) GiveBack(_ context.Context, buckets []Bucket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, b := range buckets {
		if left := m.find(b, now); left != nil {
			left.AllowN(now, -1) // adds a token; a limiter never has more than its burst
		}
	}
	return nil
}

// Len returns the number of buckets.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.buckets == nil {
		return 0
	}
	return m.buckets.Len()
}

func (m *Memory) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

// find returns what is left in a bucket, or nil if it is full. It sets the current limits.
func (m *Memory) find(b Bucket, now time.Time) *rate.Limiter {
	if m.buckets == nil {
		cache, err := simplelru.NewLRU[string, *rate.Limiter](cmp.Or(max(m.MaxBuckets, 0), DefaultMaxBuckets), nil)
		if err != nil { // only for a size below 1
			panic(err)
		}
		m.buckets = cache
	}
	left, ok := m.buckets.Get(b.Key)
	if !ok {
		return nil
	}
	if every := rate.Every(b.Every); left.Limit() != every {
		left.SetLimitAt(now, every)
	}
	if left.Burst() != b.Tries {
		left.SetBurstAt(now, b.Tries)
	}
	return left
}
