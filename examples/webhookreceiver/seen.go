package main

import "sync"

// A state is how far a message is.
type state int

const (
	isNew  state = iota // never seen, or its last attempt failed
	isBusy              // an attempt is being handled
	isDone
)

// A seen remembers the latest messages by their webhook-id. It is in memory, for one process: a
// service with more than one, or one that must not forget when it restarts, has a table with a
// unique column instead, and inserts the ID in the transaction that does the work.
type seen struct {
	mu     sync.Mutex
	states map[string]state
	done   []string // a ring
	next   int
}

func newSeen(n int) *seen { return &seen{states: map[string]state{}, done: make([]string, n)} }

// claim returns the state of a message. A new one becomes busy, and the caller must call finish.
func (s *seen) claim(id string) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.states[id]
	if was == isNew {
		s.states[id] = isBusy
	}
	return was
}

// finish ends the handling of a message. After a failure, the next attempt is new.
func (s *seen) finish(id string, succeeded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !succeeded {
		delete(s.states, id)
		return
	}
	delete(s.states, s.done[s.next])
	s.states[id], s.done[s.next] = isDone, id
	s.next = (s.next + 1) % len(s.done)
}
