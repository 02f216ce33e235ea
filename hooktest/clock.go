package hooktest

import (
	"sync"
	"time"
)

// A Clock stands still until it is advanced. The zero Clock is ready to use and shows 1 January 2026, 12:00 UTC. To have a
// hook of one's own go by it too, make it first and set Options.Now to its Now. A Clock is safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	passed time.Duration
}

// Now gives the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(c.passed)
}

// Advance puts the clock forward, or, by a negative d, back. It panics on a nil Clock: that of a rig whose Options have a
// Now of their own.
func (c *Clock) Advance(d time.Duration) {
	if c == nil {
		panic("hooktest: the rig has no clock, since Options.Now is set; advance the one that it belongs to")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
}
