package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/flowhook/flowhook"
)

// errEnded means that a session has ended, such as by revoke_active_sessions.
var errEnded = errors.New("the session has ended")

// sessionRows is a table of sessions. Its methods run in the transaction that ctx carries, if any.
// The row of an ended session is kept until it would have expired: CommitCtx returns errEnded for
// it, so that a request that began before cannot write the session back.
type sessionRows interface {
	FindCtx(ctx context.Context, token string) (data []byte, found bool, err error)
	CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error
	DeleteCtx(ctx context.Context, token string) error
	AllCtx(ctx context.Context) (map[string][]byte, error)
}

// A sessionTable is a scs.Store. scs calls the methods with a context, but requires the others.
type sessionTable struct{ sessionRows }

var (
	_ scs.CtxStore         = sessionTable{}
	_ scs.IterableCtxStore = sessionTable{}
)

func (s sessionTable) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}
func (s sessionTable) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
func (s sessionTable) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// signIns are the service's own sessions: scs sessions with the signed-in user.
//
// The embedded SessionManager is the one of LoadAndSave. It stores a session when the response
// begins, even that of an error, and outside any transaction. So issue uses the second one. Both
// have the same store and the same cookie, but each has its own data in a context.
type signIns struct {
	*scs.SessionManager
	second *scs.SessionManager
	rows   sessionRows
}

const userKey = "user"

func newSignIns(rows sessionRows) signIns {
	manager := func() *scs.SessionManager {
		m := scs.New()
		m.Store = sessionTable{rows}
		m.Cookie.Name = "__Host-session"
		m.Cookie.Secure = true
		return m
	}
	s := signIns{manager(), manager(), rows}
	report := s.ErrorFunc
	s.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, errEnded) { // otherwise scs sends no cookie, and the response continues
			report(w, r, err)
		}
	}
	return s
}

// issue signs x.Identity in. It is Options.Issue, and login calls it in its save. The route must be
// below LoadAndSave.
//
// The new session has a new token and what the handler has put into the session before. What it
// puts later is dropped, because the old session has ended. The rows are written in the transaction
// of ctx, and the cookie is in the staged response, so that a failure undoes both.
func (s signIns) issue(ctx context.Context, x *flowhook.Exchange) error {
	switch loaded, err := s.Load(ctx, ""); {
	case err != nil:
		return err
	case loaded != ctx:
		return errors.New("routes that sign in must be wrapped in LoadAndSave")
	}
	// If the session is new, this gives it a token, which LoadAndSave would use after a failure.
	old, _, err := s.Commit(ctx)
	if err != nil && !errors.Is(err, errEnded) {
		return err
	}
	fresh, err := s.second.Load(ctx, old) // empty if the old session has ended
	if err != nil {
		return err
	}
	if user := s.second.GetString(fresh, userKey); user != "" && user != x.Identity.ID {
		if err := s.second.Clear(fresh); err != nil {
			return err
		}
	}
	if err := s.second.RenewToken(fresh); err != nil { // also deletes the old row
		return err
	}
	s.second.Put(fresh, userKey, x.Identity.ID)
	token, expiry, err := s.second.Commit(fresh)
	if err != nil {
		return err
	}
	s.second.WriteSessionCookie(fresh, x.Writer, token, expiry)
	now := time.Now()
	x.Session = &flowhook.Session{ID: token, IdentityID: x.Identity.ID, AuthenticatedAt: now, IssuedAt: now,
		ExpiresAt: expiry}
	return nil
}

// find returns the session of a request below LoadAndSave, or flowhook.ErrNoSession.
func (s signIns) find(ctx context.Context) (*flowhook.Session, error) {
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
		if err := s.rows.DeleteCtx(ctx, token); err != nil {
			return err
		}
	}
	return nil
}
