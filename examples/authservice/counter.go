package main

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// A limit is how many tries may fail at once, and after what time there is one more.
type limit struct {
	Tries int           `yaml:"tries"`
	Every time.Duration `yaml:"every"`
}

func (l limit) check() error {
	if l.Tries < 1 || l.Every <= 0 {
		return errors.New("pair, account and client each need tries and every, above 0, such as {tries: 5, every: 1m}")
	}
	return nil
}

// What tries are counted by. Each kind has its own memory, so that many of one do not push out those of another.
type kind int

const (
	byPair    kind = iota // an account, together with the client that tries
	byAccount             // an account, whoever tries
	byClient              // a client, whatever account it tries
	kinds
)

// String is for the log.
func (k kind) String() string { return [kinds]string{"pair", "account", "client"}[k] }

// A key is what a try is counted on. It is remembered by its hash: what was typed may be as long as a form, and may be a
// password.
type key struct {
	kind  kind
	hash  [sha256.Size]byte
	limit limit
}

// A tally is the tries on one key.
type tally struct {
	left  *rate.Limiter // a token for each try that is left
	under int           // tries that are under way. Any of them may fail, so until it is over it counts as if it had
	told  bool          // the refusals since a try was last let through have been told
}

// remembered is how many keys of a kind are kept, at most: those that were used last. One that is forgotten begins anew; to
// have an account forgotten, somebody has to try so many others, each client only as many as its own limit allows.
const remembered = 50_000

// tallies count the tries of this process; the zero value is not ready, see newTallies. They are safe for concurrent use.
//
// The bucket is golang.org/x/time/rate's: it takes its time from the caller, and its limit can be changed. Those of
// sethvargo/go-limiter have a clock and a goroutine of their own, and no bound but the age of what they keep.
type tallies struct {
	mu   sync.Mutex
	kept [kinds]*simplelru.LRU[[sha256.Size]byte, *tally]
}

func newTallies() *tallies {
	t := &tallies{}
	for k := range t.kept {
		kept, err := simplelru.NewLRU[[sha256.Size]byte, *tally](remembered, nil)
		if err != nil { // only for a size below 1
			panic(err)
		}
		t.kept[k] = kept
	}
	return t
}

// A refused is why a try may not be made now.
type refused struct {
	by   kind
	wait time.Duration
	tell bool // it is the first since a try was let through
}

// begin lets a try through, or refuses it. A try that is let through is under way on all keys until over; one that is refused
// counts nowhere. The first key that has none left decides, and those behind it are not even made.
func (t *tallies) begin(keys []key, now time.Time) (on []*tally, no *refused) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		one := t.find(k, now)
		if left := one.left.TokensAt(now) - float64(one.under); left < 1-1e-6 { // what has come back is not always quite whole
			no = &refused{k.kind, max(time.Duration((1-left)*float64(k.limit.Every)), time.Second), !one.told}
			one.told = true
			return nil, no
		}
		on = append(on, one)
	}
	for _, one := range on {
		one.under++
		one.told = false
	}
	return on, nil
}

// find gives the tally of a key, with the key's limit: that may be another than before, since auth.yml can be read again, and
// since each flow has its own there.
func (t *tallies) find(k key, now time.Time) *tally {
	one, ok := t.kept[k.kind].Get(k.hash)
	if !ok {
		one = &tally{left: k.limit.full()}
		t.kept[k.kind].Add(k.hash, one)
		return one
	}
	if every := rate.Every(k.limit.Every); one.left.Limit() != every {
		one.left.SetLimitAt(now, every)
	}
	if one.left.Burst() != k.limit.Tries {
		one.left.SetBurstAt(now, k.limit.Tries)
	}
	return one
}

func (l limit) full() *rate.Limiter { return rate.NewLimiter(rate.Every(l.Every), l.Tries) }

// over ends a try that was under way. One that has failed is taken from what is left.
func (t *tallies) over(on []*tally, failed bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range on {
		one.under--
		if failed {
			one.left.ReserveN(now, 1) // it takes the token also where that is not quite whole
		}
	}
}

// forget makes a tally as if nothing had failed.
func (t *tallies) forget(one *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one.left = rate.NewLimiter(one.left.Limit(), one.left.Burst())
}
