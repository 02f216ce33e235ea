package memstore

// Locks says how many identities are held.
func (s *Store) Locks() int {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	return len(s.locks.byIdentity)
}

// Waiting says how many calls wait for an identity.
func (s *Store) Waiting(identityID string) int {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	if l := s.locks.byIdentity[identityID]; l != nil {
		return len(l.queue)
	}
	return 0
}

// Size counts what the store keeps: its rows, and everything that goes with them.
func (s *Store) Size() (sessions, tokens, index, claims int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.sessions.rows), len(s.tokens.rows),
		len(s.sessions.owned) + len(s.sessions.expiry) + len(s.tokens.owned) + len(s.tokens.expiry),
		len(s.sessions.claimed) + len(s.tokens.claimed)
}
