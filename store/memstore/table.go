package memstore

import (
	"container/heap"
	"fmt"
	"iter"
	"time"

	"github.com/flowhook/flowhook"
)

// An item is an entry of a table. A stored item never changes; it is replaced.
type item interface {
	owner() owner
	lifetime() (issued, expires time.Time)
}

// An owner is the second key by which items are found. A session's has only an identity. address is
// an [flowhook.Address.Key].
type owner struct {
	purpose                flowhook.Purpose
	identity, via, address string
}

type session flowhook.Session

func (s session) owner() owner                          { return owner{identity: s.IdentityID} }
func (s session) lifetime() (issued, expires time.Time) { return s.IssuedAt, s.ExpiresAt }

type token struct {
	flowhook.Token
	used bool
}

func (t token) owner() owner {
	return owner{t.Purpose, t.IdentityID, t.Address.Via, t.Address.Key()}
}

func (t token) lifetime() (issued, expires time.Time) { return t.IssuedAt, t.ExpiresAt }

// attempts are the guesses since a token was issued.
type attempts struct {
	to      owner
	since   time.Time // when the newest token was issued; zero if there was none
	expires time.Time // of the last token to expire; the time of an attempt if there was none
	n       int
}

// key returns a different string for each owner.
func (a attempts) key() string { return fmt.Sprintf("%q", a.to) }

func (a attempts) owner() owner                          { return a.to }
func (a attempts) lifetime() (issued, expires time.Time) { return a.since, a.expires }

// A table holds what is committed. A transaction reads it through its own writes, which are items
// by key, or nil for a deleted item.
type table[V item] struct {
	rows    map[string]*row[V]
	owned   map[owner]map[string]*row[V]
	expiry  expiry[V]
	now     time.Time      // when the last stored item was issued; a clock may be set back
	claimed map[string]*tx // keys that an open transaction creates or consumes; no other one may
}

type row[V item] struct {
	key   string
	value *V
	place int // index in the table's expiry
}

func newTable[V item]() table[V] {
	return table[V]{
		rows:    make(map[string]*row[V]),
		owned:   make(map[owner]map[string]*row[V]),
		claimed: make(map[string]*tx),
	}
}

// get returns the item, or nil.
func (t *table[V]) get(own map[string]*V, key string) *V {
	if v, ok := own[key]; ok {
		return v
	}
	if r := t.rows[key]; r != nil {
		return r.value
	}
	return nil
}

// of returns the items of an owner. own may be changed during the iteration.
func (t *table[V]) of(own map[string]*V, o owner) iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		for key, r := range t.owned[o] {
			if _, ok := own[key]; !ok && !yield(key, r.value) {
				return
			}
		}
		for key, v := range own {
			if v != nil && (*v).owner() == o && !yield(key, v) {
				return
			}
		}
	}
}

// claim claims the key for by, and reports whether no other transaction uses it.
func (t *table[V]) claim(by *tx, key string) bool {
	if c := t.claimed[key]; c != nil {
		return c == by
	}
	if by != atOnce {
		t.claimed[key] = by
	}
	return true
}

func (t *table[V]) release(by *tx, key string) {
	if t.claimed[key] == by {
		delete(t.claimed, key)
	}
}

// write records an item in own, which is what the transaction by has written, or nil to delete one.
func (t *table[V]) write(by *tx, own *map[string]*V, key string, v *V) {
	if by == atOnce {
		t.set(key, v)
		return
	}
	if *own == nil {
		*own = make(map[string]*V)
	}
	(*own)[key] = v
}

// apply commits what a transaction wrote. It adds new items first, so that an owner whose only item
// is replaced stays an owner.
func (t *table[V]) apply(own map[string]*V) {
	for key, v := range own {
		if v != nil {
			t.set(key, v)
		}
	}
	for key, v := range own {
		if v == nil {
			t.remove(key)
		}
	}
}

// set replaces the item with a key, or removes it if v is nil.
func (t *table[V]) set(key string, v *V) {
	t.remove(key)
	if v == nil {
		return
	}
	r := &row[V]{key: key, value: v}
	t.rows[key] = r
	o := (*v).owner()
	owned := t.owned[o]
	if owned == nil {
		owned = make(map[string]*row[V])
		t.owned[o] = owned
	}
	owned[key] = r
	heap.Push(&t.expiry, r)
	t.now, _ = (*v).lifetime()
}

func (t *table[V]) remove(key string) {
	r := t.rows[key]
	if r == nil {
		return
	}
	delete(t.rows, key)
	o := (*r.value).owner()
	owned := t.owned[o]
	delete(owned, key)
	if len(owned) == 0 {
		delete(t.owned, o)
	}
	heap.Remove(&t.expiry, r.place)
}

// drop removes items that expired before a time.
func (t *table[V]) drop(before time.Time) {
	for len(t.expiry) > 0 {
		r := t.expiry[0]
		if _, expires := (*r.value).lifetime(); !expires.Before(before) {
			break
		}
		t.remove(r.key)
	}
}

// expiry is a [heap.Interface]. The item that expires first is at the top.
type expiry[V item] []*row[V]

func (e expiry[V]) Len() int { return len(e) }

func (e expiry[V]) Less(i, j int) bool {
	_, a := (*e[i].value).lifetime()
	_, b := (*e[j].value).lifetime()
	return a.Before(b)
}

func (e expiry[V]) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].place, e[j].place = i, j
}

func (e *expiry[V]) Push(x any) {
	r := x.(*row[V])
	r.place = len(*e)
	*e = append(*e, r)
}

func (e *expiry[V]) Pop() any {
	last := len(*e) - 1
	r := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return r
}
