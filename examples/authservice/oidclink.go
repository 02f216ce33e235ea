package main

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
)

// A signed-in user connects a provider in the settings, and can sign in with it from then on. That
// starts with a form, so that no link can make a browser connect somebody else's identity. The
// attempt belongs to the session: the callback changes nothing after the user has signed out, or in
// another account.

// errLinkSession means that the user who wanted to connect a provider is no longer signed in.
var errLinkSession = refuse("", "bad_attempt", "You are no longer signed in to the account for which you started "+
	"this. Nothing was changed. Please sign in and start again.")

// errOther means that the account is connected with another identity at the provider.
func (p *provider) errOther() *flowhook.Refusal {
	return refuse("", "other_identity", "You are already connected to another account at "+p.Name+". Disconnect that "+
		"one first.")
}

// errUnconfirmed means that the address of the account is not confirmed, so that it may be somebody
// else's. Its owner, who takes the account over by confirming the address, must not find a provider
// there with which another person signs in.
var errUnconfirmed = refuse("", "address_unconfirmed", "Confirm your email address before you connect a provider.")

// continuation is the data of the page that leads to a provider.
type continuation struct{ Name, URL string }

// connect starts to connect a provider. A redirect from a form to another site would be blocked by
// the policy, so connect answers with a page that leads there.
func (s *service) connect(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	if !u.Verified {
		s.settingsAgain(w, r, u, r.URL.Path, errUnconfirmed)
		return
	}
	p := s.provider(w, r)
	if p == nil || !s.confirmMethod(w, r, u, session) {
		return
	}
	if err := s.limit.GiveBack(r.Context(), exchange(r)); err != nil { // the password was right
		s.log.ErrorContext(r.Context(), "giving an attempt back failed", "error", err)
	}
	target, ok := s.begin(w, r, p, attempt{ReturnTo: "/settings", Link: link{handle(session.ID), passwordMark(u)}})
	if ok {
		s.pages.render(w, r, http.StatusOK, "continue", page{Title: "Continue to " + p.Name, User: &u,
			Data: continuation{p.Name, target}})
	}
}

// finishLink handles the callback of an attempt to connect a provider. c and err are what callback
// has returned.
func (s *service) finishLink(w http.ResponseWriter, r *http.Request, p *provider, c claims, a attempt, err error) {
	x := exchange(r)
	u, session, missing := s.current(r)
	switch {
	case missing == nil && subtle.ConstantTimeCompare([]byte(handle(session.ID)), []byte(a.Link.Session)) == 1:
		x.Identity, x.Session = u.identity(), session
	case missing == nil || errors.Is(missing, flowhook.ErrNoSession):
		err = errLinkSession
	default:
		s.fail(w, r, missing)
		return
	}
	var no *flowhook.Refusal
	if errors.As(err, &no) {
		s.log.InfoContext(r.Context(), "OIDC connection refused", "provider", p.Key, "reason", err)
		if !s.runFailed(r.Context(), x, flowhook.Settings, flowhook.OIDC, no) {
			s.notConnected(w, r, no)
		}
		return
	}
	if err != nil {
		s.callbackFailed(w, r, p, err)
		return
	}
	// The route's Middleware ran the hooks before login, not those before settings.
	if handled, err := s.pipeline.Run(r.Context(), flowhook.Settings, flowhook.Before, flowhook.FlowWide); handled {
		return
	} else if err != nil {
		s.fail(w, r, err)
		return
	}
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.OIDC, func(ctx context.Context) error {
		now, err := s.sameUser(ctx, session, a.Link.Password)
		if err != nil {
			return err
		}
		if !now.Verified {
			return errUnconfirmed
		}
		added, err := s.db.connect(ctx, p, c.Subject, u.ID, s.now())
		if err != nil {
			return err
		}
		notice{Connected: p.Name}.beside(r).leave(x.Writer)
		if !added || !now.Verified {
			return nil
		}
		return s.courier.Send(ctx, s.connectedMail(now, p.Name))
	})
	if errors.Is(err, flowhook.ErrNoSession) {
		err = errLinkSession
	}
	if !handled && errors.As(err, &no) {
		s.notConnected(w, r, no)
		return
	}
	s.finish(w, r, handled, err, "/settings")
}

// sameUser returns the user of a session as it is in the transaction of ctx. It returns
// flowhook.ErrNoSession if the session no longer exists, and errMeanwhile if the password has another
// mark now.
func (s *service) sameUser(ctx context.Context, session *flowhook.Session, mark string) (user, error) {
	if err := s.checkSession(ctx, session); err != nil {
		return user{}, err
	}
	u, err := s.db.userByID(ctx, session.IdentityID)
	switch {
	case errors.Is(err, errNoUser):
		return user{}, flowhook.ErrNoSession
	case err == nil && passwordMark(u) != mark:
		return user{}, errMeanwhile
	}
	return u, err
}

// connect connects an identity at a provider with a user, in a transaction of the user's, and
// reports whether it was not connected before. A user has one identity at a provider, and an
// identity has one user.
func (d *database) connect(ctx context.Context, p *provider, subject, userID string, now time.Time) (added bool,
	err error) {
	connected := ""
	err = d.row(ctx, []any{&connected}, "SELECT subject FROM oidc_identities WHERE issuer = $1 AND user_id = $2",
		p.id, userID)
	switch {
	case err == nil && connected == subject:
		return false, nil
	case err == nil:
		return false, p.errOther()
	case !errors.Is(err, sql.ErrNoRows):
		return false, err
	}
	added, err = d.insertOIDC(ctx, p.id, subject, userID, now)
	if err == nil && !added {
		return false, p.errConnected()
	}
	return added, err
}

// notConnected says why a provider was not connected: on the sign-in page or, to a user who is signed
// in, on a page of its own.
func (s *service) notConnected(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal) {
	if u := s.visitor(r); u != nil {
		s.pages.render(w, r, http.StatusForbidden, "notconnected", page{Title: "Not connected", User: u, Data: no.Text})
		return
	}
	s.showRefused(w, r, no, "/settings")
}
