package main

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// A limit allows Tries failed attempts at once, then one more each time Every has passed.
type limit struct {
	Tries int           `yaml:"tries"`
	Every time.Duration `yaml:"every"`
}

func (l limit) check() error {
	if l.Tries < 1 || l.Every <= 0 {
		return errors.New("pair, account and client each need positive tries and every, such as {tries: 5, every: 1m}")
	}
	return nil
}

// A kind is what attempts are counted by. Each kind has its own cache, so that many keys of one
// kind do not evict those of another.
type kind int

const (
	byPair    kind = iota // an account and a client
	byAccount             // an account, for all clients
	byClient              // a client, for all accounts
	kinds
)

// String returns the name of k in logs.
func (k kind) String() string { return [kinds]string{"pair", "account", "client"}[k] }

// A key identifies a counter. It holds a hash, because what was typed may be long and may be a
// password.
type key struct {
	kind  kind
	hash  [sha256.Size]byte
	limit limit
}

// A counter counts the attempts on one key.
type counter struct {
	left     *rate.Limiter // one token for each attempt left
	running  int           // attempts in progress; each counts as failed until it has ended
	reported bool          // whether a refusal was reported since the last attempt that was allowed
}

// maxKeys is the maximum number of keys of each kind; the least recently used is dropped. A dropped
// key starts over. To make the service drop an account, an attacker must try that many others, and
// the limit of the client applies to each.
const maxKeys = 50_000

// counters counts the attempts in this process. Use newCounters; the zero value is not ready. It is
// safe for concurrent use.
//
// It uses golang.org/x/time/rate, because the caller passes the time and the limit can change. The
// limiters of sethvargo/go-limiter have their own clock and goroutine, and bound what they keep
// only by age.
type counters struct {
	mu   sync.Mutex
	keys [kinds]*simplelru.LRU[[sha256.Size]byte, *counter]
}

func newCounters() *counters {
	cs := &counters{}
	for k := range cs.keys {
		cache, err := simplelru.NewLRU[[sha256.Size]byte, *counter](maxKeys, nil)
		if err != nil { // only for a size below 1
			panic(err)
		}
		cs.keys[k] = cache
	}
	return cs
}

// An overLimit is why an attempt is refused.
type overLimit struct {
	by    kind
	wait  time.Duration
	first bool // the first refusal since an attempt was allowed
}

// begin allows an attempt or refuses it. An allowed attempt is in progress on all keys until end; a
// refused one counts nowhere. The first key without an attempt left decides, and no counters are
// created for the keys after it.
func (cs *counters) begin(keys []key, now time.Time) (on []*counter, over *overLimit) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, k := range keys {
		c := cs.find(k, now)
		if left := c.left.TokensAt(now) - float64(c.running); left < 1-1e-6 { // tolerates rounding
			over = &overLimit{k.kind, max(time.Duration((1-left)*float64(k.limit.Every)), time.Second), !c.reported}
			c.reported = true
			return nil, over
		}
		on = append(on, c)
	}
	for _, c := range on {
		c.running++
		c.reported = false
	}
	return on, nil
}

// find returns the counter of a key and sets its limit. The limit may have changed, because
// auth.yml can be reloaded and each flow has its own limits.
func (cs *counters) find(k key, now time.Time) *counter {
	c, ok := cs.keys[k.kind].Get(k.hash)
	if !ok {
		c = &counter{left: k.limit.full()}
		cs.keys[k.kind].Add(k.hash, c)
		return c
	}
	if every := rate.Every(k.limit.Every); c.left.Limit() != every {
		c.left.SetLimitAt(now, every)
	}
	if c.left.Burst() != k.limit.Tries {
		c.left.SetBurstAt(now, k.limit.Tries)
	}
	return c
}

func (l limit) full() *rate.Limiter { return rate.NewLimiter(rate.Every(l.Every), l.Tries) }

// end ends an attempt. A failed one takes a token.
func (cs *counters) end(on []*counter, failed bool, now time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range on {
		c.running--
		if failed {
			c.left.ReserveN(now, 1) // takes the token even if rounding left slightly less than one
		}
	}
}

// reset forgets the failures of a counter.
func (cs *counters) reset(c *counter) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.left = rate.NewLimiter(c.left.Limit(), c.left.Burst())
}
