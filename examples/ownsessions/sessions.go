package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/flowhook/flowhook"
)

// sessionTable is the database as scs wants it. scs passes its context on, and with it the transaction.
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

// CommitCtx does nothing to a session that has ended. scs writes a session back when the request's answer begins; without
// this, one that was revoked in the meantime would be alive again.
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

// scs asks for these, and calls those above.
func (s sessionTable) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}
func (s sessionTable) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
func (s sessionTable) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// signIns are the service's own sessions: those of scs, and who is signed in.
type signIns struct{ *scs.SessionManager }

const userKey = "user"

func newSignIns(d *database) signIns {
	m := scs.New()
	m.Store = sessionTable{d}
	m.Cookie.Name = "__Host-session"
	m.Cookie.Secure = true
	return signIns{m}
}

// issue signs x.Identity in. It is Options.Issue, and what login does in its save.
//
// The session is stored at once, with the context of the transaction, and its cookie goes to the staged response: if
// anything fails, both are gone. scs's own way is another: what is put into the session of the request is stored, outside
// of any transaction, as soon as the answer begins, be it that of an error. So the routes that sign in stand outside of
// LoadAndSave, and a new session is made here.
func (s signIns) issue(ctx context.Context, x *flowhook.Exchange) error {
	fresh, err := s.Load(ctx, "")
	switch {
	case err != nil:
		return err
	case fresh == ctx:
		return errors.New("a route that signs in stands below LoadAndSave")
	}
	if err := s.end(ctx, x); err != nil { // what the request came with is worth nothing any more
		return err
	}
	s.Put(fresh, userKey, x.Identity.ID)
	token, expiry, err := s.Commit(fresh)
	if err != nil {
		return err
	}
	s.WriteSessionCookie(fresh, x.Writer, token, expiry)
	now := time.Now()
	x.Session = &flowhook.Session{ID: token, IdentityID: x.Identity.ID, AuthenticatedAt: now, IssuedAt: now, ExpiresAt: expiry}
	return nil
}

// end deletes the session that the request came with.
func (s signIns) end(ctx context.Context, x *flowhook.Exchange) error {
	c, err := x.Request.Cookie(s.Cookie.Name)
	if err != nil {
		return nil
	}
	return s.Store.(scs.CtxStore).DeleteCtx(ctx, c.Value)
}

// find gives the session of a request, or flowhook.ErrNoSession.
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

// DeleteSessions makes a flowhook.SessionRevoker. It looks at all sessions there are: a service with many of them has an
// index by user.
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
