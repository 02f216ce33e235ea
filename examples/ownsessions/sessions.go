package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/flowhook/flowhook"
)

// sessionTable adapts the database to scs. scs passes its context on, and with it the transaction.
type sessionTable struct{ d *database }

var (
	_ scs.CtxStore         = sessionTable{}
	_ scs.IterableCtxStore = sessionTable{}
)

func (s sessionTable) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	all, err := rows(ctx, s.d, sessions)
	row, ok := all[token]
	return row.data, ok && row.alive(), err
}

func (r sessionRow) alive() bool { return !r.ended && time.Now().Before(r.expiry) }

// CommitCtx saves a session unless it has ended. scs writes a session back when the response
// begins, which would otherwise restore a session that was revoked meanwhile.
func (s sessionTable) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return put(ctx, s.d, sessions, token, func(was sessionRow) sessionRow {
		if was.ended {
			return was
		}
		return sessionRow{data: data, expiry: expiry}
	})
}

func (s sessionTable) DeleteCtx(ctx context.Context, token string) error {
	return put(ctx, s.d, sessions, token, func(was sessionRow) sessionRow {
		return sessionRow{expiry: was.expiry, ended: true}
	})
}

func (s sessionTable) AllCtx(ctx context.Context) (map[string][]byte, error) {
	all, err := rows(ctx, s.d, sessions)
	alive := map[string][]byte{}
	for token, row := range all {
		if row.alive() {
			alive[token] = row.data
		}
	}
	return alive, err
}

// scs requires these methods, but calls those with a context.
func (s sessionTable) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}
func (s sessionTable) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
func (s sessionTable) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// signIns are the service's own sessions: scs sessions with the signed-in user.
type signIns struct{ *scs.SessionManager }

const userKey = "user"

func newSignIns(d *database) signIns {
	m := scs.New()
	m.Store = sessionTable{d}
	m.Cookie.Name = "__Host-session"
	m.Cookie.Secure = true
	return signIns{m}
}

// issue signs x.Identity in. It is Options.Issue, and login calls it in its save.
//
// It stores the session in the transaction of ctx and adds the cookie to the staged response, so
// that a failure undoes both. scs itself stores a session outside any transaction as soon as the
// response begins, even that of an error. So the routes that sign in must be outside LoadAndSave,
// and issue creates a new session.
func (s signIns) issue(ctx context.Context, x *flowhook.Exchange) error {
	fresh, err := s.Load(ctx, "")
	switch {
	case err != nil:
		return err
	case fresh == ctx:
		return errors.New("routes that sign in must not be wrapped in LoadAndSave")
	}
	if err := s.end(ctx, x); err != nil { // the new session replaces the old one
		return err
	}
	s.Put(fresh, userKey, x.Identity.ID)
	token, expiry, err := s.Commit(fresh)
	if err != nil {
		return err
	}
	s.WriteSessionCookie(fresh, x.Writer, token, expiry)
	now := time.Now()
	x.Session = &flowhook.Session{ID: token, IdentityID: x.Identity.ID, AuthenticatedAt: now, IssuedAt: now,
		ExpiresAt: expiry}
	return nil
}

// end deletes the session of the request, if any.
func (s signIns) end(ctx context.Context, x *flowhook.Exchange) error {
	c, err := x.Request.Cookie(s.Cookie.Name)
	if err != nil {
		return nil
	}
	return s.Store.(scs.CtxStore).DeleteCtx(ctx, c.Value)
}

// find returns the session of a request, or flowhook.ErrNoSession.
func (s signIns) find(r *http.Request) (*flowhook.Session, error) {
	c, err := r.Cookie(s.Cookie.Name)
	if err != nil {
		return nil, flowhook.ErrNoSession
	}
	ctx, err := s.Load(r.Context(), c.Value)
	if err != nil {
		return nil, err
	}
	name := s.GetString(ctx, userKey)
	if name == "" {
		return nil, flowhook.ErrNoSession
	}
	return &flowhook.Session{ID: s.Token(ctx), IdentityID: name, ExpiresAt: s.Deadline(ctx)}, nil
}

// DeleteSessions implements flowhook.SessionRevoker. It iterates over all sessions; a service with
// many sessions needs an index by user.
func (s signIns) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	var tokens []string
	found := exceptID == ""
	err := s.Iterate(ctx, func(ctx context.Context) error {
		switch {
		case s.GetString(ctx, userKey) != identityID:
		case s.Token(ctx) == exceptID:
			found = true
		default:
			tokens = append(tokens, s.Token(ctx))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !found {
		return flowhook.ErrNotFound
	}
	for _, token := range tokens {
		if err := s.Store.(scs.CtxStore).DeleteCtx(ctx, token); err != nil {
			return err
		}
	}
	return nil
}
