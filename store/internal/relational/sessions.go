package relational

import (
	"context"
	"slices"
	"time"

	"github.com/flowhook/flowhook"
)

// CreateSession implements [flowhook.SessionStore].
func (s *Store) CreateSession(ctx context.Context, v flowhook.Session) error {
	if err := s.checkSession(v); err != nil {
		return err
	}
	_, err := s.exec(ctx, storeSession, s.Queries.CreateSession, columns(v)...)
	return err
}

const storeSession = "store a session"

func (s *Store) checkSession(v flowhook.Session) error {
	if !storable(v.ID, sessionIDLength) || !storable(v.IdentityID, identityIDLength) {
		return s.errorf("%s: an ID is too long, or not UTF-8 without NUL", storeSession)
	}
	return nil
}

// columns returns the values of a session's row.
func columns(v flowhook.Session) []any {
	return []any{v.ID, v.IdentityID, v.AuthenticatedAt.UnixMicro(), v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro()}
}

// ReplaceSession implements [flowhook.SessionReplacer].
func (s *Store) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	if err := s.checkSession(v); err != nil {
		return err
	}
	if slices.Contains(old, v.ID) {
		return s.errorf("%s: its ID is that of a session that it replaces", storeSession)
	}
	var ids []any
	for _, id := range slices.Sorted(slices.Values(old)) { // in one order, against deadlocks
		if storable(id, sessionIDLength) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return s.CreateSession(ctx, v)
	}
	if query := s.Queries.replaceSession(len(ids)); query != "" {
		_, err := s.exec(ctx, storeSession, query, append(ids, columns(v)...)...)
		return err
	}
	return s.within(ctx, func(ctx context.Context) error {
		if _, err := s.exec(ctx, "delete a session", s.Queries.endSessions(len(ids)), ids...); err != nil {
			return err
		}
		return s.CreateSession(ctx, v)
	})
}

// FindSession implements [flowhook.SessionStore].
func (s *Store) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	v := flowhook.Session{ID: id}
	var authenticated, issued, expires int64
	found := false
	var err error
	if storable(id, sessionIDLength) {
		found, err = s.row(ctx, "find a session", false, s.Queries.findSession, []any{id},
			&v.IdentityID, &authenticated, &issued, &expires)
	}
	switch {
	case err != nil:
		return flowhook.Session{}, err
	case !found:
		return flowhook.Session{}, flowhook.ErrNotFound
	}
	v.AuthenticatedAt, v.IssuedAt, v.ExpiresAt = micro(authenticated), micro(issued), micro(expires)
	return v, nil
}

// DeleteSession implements [flowhook.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, id string) error {
	if !storable(id, sessionIDLength) {
		return nil
	}
	_, err := s.exec(ctx, "delete a session", s.Queries.DeleteSession, id)
	return err
}

// DeleteSessions implements [flowhook.SessionRevoker].
func (s *Store) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	const what = "delete an identity's sessions"
	switch {
	case exceptID != "" && !(storable(identityID, identityIDLength) && storable(exceptID, sessionIDLength)):
		return flowhook.ErrNotFound
	case !storable(identityID, identityIDLength):
		return nil
	case exceptID == "":
		_, err := s.exec(ctx, what, s.Queries.DeleteSessions, identityID)
		return err
	}
	deleteOthers := func(ctx context.Context) error {
		query, writes := s.Queries.deleteOthersOf, true
		if query == "" { // it takes two statements
			query, writes = s.Queries.ownSession, false
		}
		found, err := s.row(ctx, what, writes, query, []any{exceptID, identityID}, new(int))
		if err == nil && !found {
			err = flowhook.ErrNotFound
		}
		if err != nil || writes {
			return err
		}
		_, err = s.exec(ctx, what, s.Queries.deleteOthers, identityID, exceptID)
		return err
	}
	if s.transactionOf(ctx) != nil {
		return deleteOthers(ctx)
	}
	// Without the lock of the identity, two devices that sign each other out would deadlock.
	return s.Transaction(ctx, identityID, deleteOthers)
}

// ListSessions returns at most limit sessions of the identity that have not expired at now, the
// newest first.
func (s *Store) ListSessions(
	ctx context.Context, identityID string, now time.Time, limit int,
) (all []flowhook.Session, err error) {
	if !storable(identityID, identityIDLength) {
		return nil, nil
	}
	args := []any{identityID, now.UnixMicro(), max(limit, 0)}
	err = s.run(ctx, "list an identity's sessions", false, func(ctx context.Context, q Querier) error {
		return q.Query(ctx, s.Queries.listSessions, args, func(scan func(into ...any) error) error {
			v := flowhook.Session{IdentityID: identityID}
			var authenticated, issued, expires int64
			if err := scan(&v.ID, &authenticated, &issued, &expires); err != nil {
				return err
			}
			v.AuthenticatedAt, v.IssuedAt, v.ExpiresAt = micro(authenticated), micro(issued), micro(expires)
			all = append(all, v)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
