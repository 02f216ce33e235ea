package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// listMax is how many sessions the page shows. To sign out everywhere ends the others, too.
const listMax = 100

// A signIn is a session as its user sees it.
type signIn struct {
	Handle  string // names it in the form
	Client  string
	At      time.Time
	Current bool
	id      string
}

// handle names a session on a page. Its ID stays on the server.
func handle(sessionID string) string {
	sum := sha256.Sum256([]byte("handle of a session: " + sessionID))
	return hex.EncodeToString(sum[:16])
}

func (d *database) insertSignIn(ctx context.Context, session flowhook.Session, client string) error {
	_, err := d.exec(ctx, "INSERT INTO sign_ins (session_id, client, expires_at) VALUES ($1, $2, $3)", session.ID, client, session.ExpiresAt.UnixMicro())
	return err
}

// signIns lists the sessions of a user, the newest first. flowhook says which there are, the service's own table what is
// known of them.
func (s *service) signIns(ctx context.Context, session *flowhook.Session) ([]signIn, error) {
	sessions, err := s.store.ListSessions(ctx, session.IdentityID, s.now(), listMax)
	if err != nil {
		return nil, err
	}
	list := make([]signIn, len(sessions))
	for i, one := range sessions {
		list[i] = signIn{Handle: handle(one.ID), Client: "An unknown program", At: one.IssuedAt, Current: one.ID == session.ID, id: one.ID}
	}
	return list, s.db.clients(ctx, list)
}

// clients fills in what the sign-ins came from.
func (d *database) clients(ctx context.Context, list []signIn) error {
	if len(list) == 0 {
		return nil
	}
	at, marks, ids := map[string]int{}, make([]string, len(list)), make([]any, len(list))
	for i, one := range list {
		at[one.id], marks[i], ids[i] = i, "$"+strconv.Itoa(i+1), one.id
	}
	ctx, q := d.on(ctx)
	rows, err := q.QueryContext(ctx, "SELECT session_id, client FROM sign_ins WHERE session_id IN ("+strings.Join(marks, ", ")+")", ids...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, client string
		if err := rows.Scan(&id, &client); err != nil {
			return err
		}
		list[at[id]].Client = client
	}
	return rows.Err()
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
	s.pages.render(w, r, http.StatusOK, "sessions", page{Title: "Your sessions", User: &u, Data: list})
}

// endSession ends one session of the user's, which may be the one in use.
func (s *service) endSession(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x, which := exchange(r), r.PostFormValue("session")
	x.Identity, x.Session = u.identity(), session
	handled, err := s.complete(r.Context(), flowhook.Logout, flowhook.FlowWide, func(ctx context.Context) error {
		if err := s.still(ctx, session); err != nil {
			return err
		}
		list, err := s.store.ListSessions(ctx, u.ID, s.now(), listMax)
		if err != nil {
			return err
		}
		for _, one := range list {
			if subtle.ConstantTimeCompare([]byte(handle(one.ID)), []byte(which)) == 0 {
				continue
			}
			if one.ID == session.ID {
				return s.pipeline.Sessions().End(ctx, x)
			}
			return s.store.DeleteSession(ctx, one.ID)
		}
		return nil // it has ended already, which is what was asked for
	})
	s.settled(w, r, handled, err, "/sessions")
}

// signOutEverywhere ends all sessions of the user, the one in use first; the hook revoke_active_sessions ends the rest.
func (s *service) signOutEverywhere(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	handled, err := s.complete(r.Context(), signOutEverywhere, flowhook.FlowWide, func(ctx context.Context) error {
		if err := s.still(ctx, session); err != nil {
			return err
		}
		return s.pipeline.Sessions().End(ctx, x)
	})
	s.settled(w, r, handled, err, "/")
}
