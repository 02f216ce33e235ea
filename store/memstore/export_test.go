package memstore

// Locks returns the number of identities that are held.
func (s *Store) Locks() int {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	return len(s.locks.byIdentity)
}

// Waiting returns the number of calls that wait for an identity.
func (s *Store) Waiting(identityID string) int {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	if l := s.locks.byIdentity[identityID]; l != nil {
		return len(l.queue)
	}
	return 0
}

// Size returns the number of entries in all of the store's maps and lists.
func (s *Store) Size() (sessions, tokens, index, claims int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.sessions.rows), len(s.tokens.rows),
		len(s.sessions.owned) + len(s.sessions.expiry) + len(s.tokens.owned) + len(s.tokens.expiry),
		len(s.sessions.claimed) + len(s.tokens.claimed)
}

// Kept returns the number of deleted sessions that are still in memory.
func (s *Store) Kept() (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.sessions.expiry
	for _, r := range e[len(e):cap(e)] {
		if r != nil {
			n++
		}
	}
	return n
}

// Counts returns the number of identities and addresses whose attempts are counted.
func (s *Store) Counts() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.attempts.rows)
}
