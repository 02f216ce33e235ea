package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/flowhook/flowhook"
)

// CreateSession implements [flowhook.SessionStore].
func (s *Store) CreateSession(ctx context.Context, v flowhook.Session) error {
	if !storable(v.ID, sessionIDLength) || !storable(v.IdentityID, identityIDLength) {
		return errors.New("sqlstore: store a session: an ID is too long, or not UTF-8 without NUL")
	}
	_, err := s.exec(ctx, "store a session", s.queries.createSession,
		v.ID, v.IdentityID, v.AuthenticatedAt.UnixMicro(), v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro())
	return err
}

// FindSession implements [flowhook.SessionStore]. It returns times in UTC.
func (s *Store) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	v := flowhook.Session{ID: id}
	var authenticated, issued, expires int64
	found := false
	var err error
	if storable(id, sessionIDLength) {
		found, err = s.row(ctx, "find a session", s.queries.findSession, []any{id}, &v.IdentityID, &authenticated, &issued, &expires)
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
	_, err := s.exec(ctx, "delete a session", s.queries.deleteSession, id)
	return err
}

// DeleteSessions implements [flowhook.SessionRevoker]. With exceptID it runs two statements, for
// which it opens a transaction if ctx carries none.
func (s *Store) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	const what = "delete an identity's sessions"
	switch {
	case exceptID != "" && !(storable(identityID, identityIDLength) && storable(exceptID, sessionIDLength)):
		return flowhook.ErrNotFound
	case !storable(identityID, identityIDLength):
		return nil
	case exceptID == "":
		_, err := s.exec(ctx, what, s.queries.deleteSessions, identityID)
		return err
	}
	return s.within(ctx, identityID, func(ctx context.Context) error {
		var one int
		found, err := s.row(ctx, what, s.queries.ownSession, []any{exceptID, identityID}, &one)
		if err == nil && !found {
			err = flowhook.ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, what, s.queries.deleteOthers, identityID, exceptID)
		return err
	})
}

// ListSessions returns at most limit sessions of the identity that have not expired at now, the
// newest first.
func (s *Store) ListSessions(ctx context.Context, identityID string, now time.Time, limit int) ([]flowhook.Session, error) {
	if !storable(identityID, identityIDLength) {
		return nil, nil
	}
	var all []flowhook.Session
	err := s.query(ctx, "list an identity's sessions", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, s.queries.listSessions, identityID, now.UnixMicro(), max(limit, 0))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			v := flowhook.Session{IdentityID: identityID}
			var authenticated, issued, expires int64
			if err := rows.Scan(&v.ID, &authenticated, &issued, &expires); err != nil {
				return err
			}
			v.AuthenticatedAt, v.IssuedAt, v.ExpiresAt = micro(authenticated), micro(issued), micro(expires)
			all = append(all, v)
		}
		return rows.Err()
	})
	return all, err
}

// within runs several statements in the transaction that ctx carries, or else in one of their own.
func (s *Store) within(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if s.transactionOf(ctx) != nil {
		return fn(ctx)
	}
	return s.Transaction(ctx, identityID, fn)
}
