package ratelimit

import (
	"runtime"
	"sync"
	"weak"

	"github.com/flowhook/flowhook"
)

// taken remembers the attempts of each exchange, until they are given back or the exchange is
// garbage. It does not keep exchanges alive. The zero value is ready to use.
type taken struct {
	mu sync.Mutex
	of map[weak.Pointer[flowhook.Exchange]]map[*attempt][]Bucket
}

// put remembers what a hook has taken for x. If it has before, that attempt has failed.
func (t *taken) put(x *flowhook.Exchange, by *attempt, buckets []Bucket) {
	p := weak.Make(x)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[weak.Pointer[flowhook.Exchange]]map[*attempt][]Bucket{}
	}
	if t.of[p] == nil {
		t.of[p] = map[*attempt][]Bucket{}
		runtime.AddCleanup(x, t.forget, p)
	}
	t.of[p][by] = buckets
}

func (t *taken) has(x *flowhook.Exchange) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.of[weak.Make(x)]) > 0
}

// remove forgets the attempts of x and returns them.
func (t *taken) remove(x *flowhook.Exchange) (buckets []Bucket) {
	p := weak.Make(x)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.of[p] {
		buckets = append(buckets, b...)
	}
	delete(t.of, p)
	return buckets
}

func (t *taken) forget(p weak.Pointer[flowhook.Exchange]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, p)
}
