package hooktest

import (
	"sync"
	"time"
)

// A Clock shows a fixed time until Advance moves it. The zero Clock is ready to use and shows 1
// January 2026, 12:00 UTC. To share it with a hook of yours, create it first and set Options.Now to
// its Now. A Clock is safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	passed time.Duration
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(c.passed)
}

// Advance moves the clock forward by d, or back if d is negative. It panics on a nil Clock, which a
// [Rig] has if Options.Now was set.
func (c *Clock) Advance(d time.Duration) {
	if c == nil {
		panic("hooktest: the rig has no clock because Options.Now is set; advance your own clock")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
}
