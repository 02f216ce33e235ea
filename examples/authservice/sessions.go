package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// listMax is the maximum number of sessions on the page. Signing out everywhere ends all of them.
const listMax = 100

// A signIn is a session as shown to its user.
type signIn struct {
	Handle  string // identifies it in the form
	Client  string
	At      time.Time
	Current bool
	id      string
}

// sessions is the data of the sessions page.
type sessions struct {
	Ended bool // another session was just ended
	List  []signIn
}

// handle returns an identifier for a session that can be shown on a page. The session ID stays on
// the server.
func handle(sessionID string) string {
	sum := sha256.Sum256([]byte("handle of a session: " + sessionID))
	return hex.EncodeToString(sum[:16])
}

func (d *database) insertSignIn(ctx context.Context, session flowhook.Session, client string) error {
	_, err := d.exec(ctx, "INSERT INTO sign_ins (session_id, client, expires_at) VALUES ($1, $2, $3)",
		session.ID, client, session.ExpiresAt.UnixMicro())
	return err
}

// signIns lists the sessions of the session's user, newest first. flowhook's store has the
// sessions; the service's table has their clients.
func (s *service) signIns(ctx context.Context, session *flowhook.Session) ([]signIn, error) {
	sessions, err := s.store.ListSessions(ctx, session.IdentityID, s.now(), listMax)
	if err != nil {
		return nil, err
	}
	list := make([]signIn, len(sessions))
	for i, one := range sessions {
		list[i] = signIn{Handle: handle(one.ID), Client: "Unknown browser", At: one.IssuedAt,
			Current: one.ID == session.ID, id: one.ID}
	}
	return list, s.db.clients(ctx, list)
}

// clients sets the clients of the sign-ins in list.
func (d *database) clients(ctx context.Context, list []signIn) error {
	if len(list) == 0 {
		return nil
	}
	at, marks, ids := map[string]int{}, make([]string, len(list)), make([]any, len(list))
	for i, one := range list {
		at[one.id], marks[i], ids[i] = i, "$"+strconv.Itoa(i+1), one.id
	}
	return d.rows(ctx, func(scan scanFunc) error {
		var id, client string
		if err := scan(&id, &client); err != nil {
			return err
		}
		list[at[id]].Client = client
		return nil
	}, "SELECT session_id, client FROM sign_ins WHERE session_id IN ("+strings.Join(marks, ", ")+")", ids...)
}

func (s *service) sessionsPage(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	list, err := s.signIns(r.Context(), session)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	i := slices.IndexFunc(list, func(one signIn) bool { return one.Current })
	if i > 0 { // the current session comes first
		list = slices.Concat(list[i:i+1], list[:i], list[i+1:])
	}
	n := noticeOf(r)
	if n.Ended { // it is shown once
		notice{}.beside(r).leave(w)
	}
	s.pages.render(w, r, http.StatusOK, "sessions", page{Title: "Your sessions", User: &u, Data: sessions{n.Ended, list}})
}

// endSession ends one of the user's sessions, which may be the current one.
func (s *service) endSession(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x, which := exchange(r), r.PostFormValue("session")
	to, ended := "/sessions", false
	x.Identity, x.Session = u.identity(), session
	handled, err := s.complete(r.Context(), flowhook.Logout, flowhook.FlowWide, func(ctx context.Context) error {
		if err := s.checkSession(ctx, session); err != nil {
			return err
		}
		list, err := s.signIns(ctx, session)
		if err != nil {
			return err
		}
		for _, one := range list {
			switch {
			case subtle.ConstantTimeCompare([]byte(one.Handle), []byte(which)) == 0:
				continue
			case one.Current:
				to = "/"
				return s.signedOutNow(ctx, x)
			}
			ended = true
			return s.store.DeleteSession(ctx, one.id)
		}
		return nil // it has already ended
	})
	if err == nil && ended {
		notice{Ended: true}.beside(r).leave(w)
	}
	s.finish(w, r, handled, err, to)
}

// signOutEverywhere ends the current session. The revoke_active_sessions hook ends the user's other
// sessions.
func (s *service) signOutEverywhere(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	handled, err := s.complete(r.Context(), signOutEverywhere, flowhook.FlowWide, func(ctx context.Context) error {
		if err := s.checkSession(ctx, session); err != nil {
			return err
		}
		return s.signedOutNow(ctx, x)
	})
	s.finish(w, r, handled, err, "/")
}
