package main

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/flowhook/flowhook"
)

// Confirmed accounts are never linked by their address. An account whose address was never
// confirmed goes to the user for whom the provider has verified it; see takeover.go.

func (p *provider) errUnverified() *flowhook.Refusal {
	return refuse("", "address_unverified", "Your email address is not verified at "+p.Name+", so you cannot use it "+
		"here. Register with a password instead.")
}

func (p *provider) errLinked() *flowhook.Refusal {
	return refuse("", "address_taken", "An account with your email address already exists. Sign in to it, and connect "+
		p.Name+" in the settings.")
}

// errConnected means that the identity at the provider belongs to another account.
func (p *provider) errConnected() *flowhook.Refusal {
	return refuse("", "connected_elsewhere", "Your account at "+p.Name+" is already connected to another account here. "+
		"Nothing was changed.")
}

// provider returns the provider in the path of a request. If there is none, it answers the request
// and returns nil.
func (s *service) provider(w http.ResponseWriter, r *http.Request) *provider {
	key := r.PathValue("provider")
	i := slices.IndexFunc(s.providers, func(p *provider) bool { return p.Key == key })
	if i < 0 {
		s.notFound(w, r)
		return nil
	}
	return s.providers[i]
}

// startOIDC redirects the browser to the provider. With fresh in the query, the provider must
// authenticate the user again. Pages link to it, because the policy allows no form that leads to
// another site.
func (s *service) startOIDC(w http.ResponseWriter, r *http.Request) {
	p := s.provider(w, r)
	if p == nil {
		return
	}
	a := attempt{ReturnTo: s.returnTo(r, flowhook.OIDC), Fresh: r.Form.Has("fresh")}
	if target, ok := s.begin(w, r, p, a); ok {
		http.Redirect(w, r, target, http.StatusSeeOther)
	}
}

// finishOIDC handles the provider's callback. It completes a login, a registration of a new user, or
// the connection of the provider with an account.
func (s *service) finishOIDC(w http.ResponseWriter, r *http.Request) {
	p := s.provider(w, r)
	if p == nil {
		return
	}
	c, a, err := s.callback(w, r, p)
	var no *flowhook.Refusal
	switch {
	case a.Link != link{}:
		s.finishLink(w, r, p, c, a, err)
		return
	case errors.As(err, &no):
		s.log.InfoContext(r.Context(), "OIDC sign-in refused", "provider", p.Key, "reason", err)
		s.refuseOIDC(w, r, flowhook.Login, no, a.ReturnTo)
		return
	case err != nil:
		s.callbackFailed(w, r, p, err)
		return
	}
	x := exchange(r)
	u, err := s.db.userByOIDC(r.Context(), p.id, c.Subject)
	switch {
	case errors.Is(err, errNoUser):
		s.registerOIDC(w, r, p, c, a.ReturnTo)
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	x.Identity = u.identity()
	handled, err := s.complete(r.Context(), flowhook.Login, flowhook.OIDC, func(ctx context.Context) error {
		// Meanwhile the account may have been deleted or recovered by its owner, or the provider
		// disconnected.
		now, err := s.db.userByOIDC(ctx, p.id, c.Subject)
		if errors.Is(err, errNoUser) || err == nil && now.ID != u.ID {
			return errAttempt
		}
		if err != nil {
			return err
		}
		if err := s.issue(ctx, x); err != nil || !a.Fresh {
			return err
		}
		return s.setFresh(x)
	})
	if !handled && errors.Is(err, errAttempt) {
		s.showRefused(w, r, errAttempt, a.ReturnTo)
		return
	}
	s.finish(w, r, handled, err, a.ReturnTo)
}

// registerOIDC creates an account for a user who signs in with the provider for the first time, or
// takes over an unconfirmed one. The session hook issues the session.
func (s *service) registerOIDC(w http.ResponseWriter, r *http.Request, p *provider, c claims, returnTo string) {
	x := exchange(r)
	// The route's Middleware ran the hooks before login, not those before registration.
	if handled, err := s.pipeline.Run(r.Context(), flowhook.Registration, flowhook.Before, flowhook.FlowWide); handled {
		return
	} else if err != nil {
		s.fail(w, r, err)
		return
	}
	email, ok := normalizeEmail(c.Email)
	if !ok || !c.Verified {
		s.refuseOIDC(w, r, flowhook.Registration, p.errUnverified(), returnTo)
		return
	}
	u := user{ID: newUserID(), Email: email, Name: cleanName(c.Name), Verified: true}
	if nameFault(u.Name) != "" {
		u.Name = "New user" // the user can change it in the settings
	}
	x.Identity = u.identity()
	handled, err := s.complete(r.Context(), flowhook.Registration, flowhook.OIDC, func(ctx context.Context) error {
		owner := u
		err := s.db.insertUser(ctx, u, s.now())
		if errors.Is(err, errTaken) {
			owner, err = s.claim(ctx, u)
		}
		if err != nil {
			return err
		}
		x.Identity = owner.identity()
		inserted, err := s.db.insertOIDC(ctx, p.id, c.Subject, owner.ID, s.now())
		if err == nil && !inserted { // another request has just used the identity
			return errAttempt
		}
		return err
	})
	switch {
	case !handled && errors.Is(err, errTaken):
		s.showRefused(w, r, p.errLinked(), returnTo)
	case !handled && errors.Is(err, errAttempt):
		s.showRefused(w, r, errAttempt, returnTo)
	default:
		s.finish(w, r, handled, err, returnTo)
	}
}

// refuseOIDC answers a sign-in that is refused before Complete.
func (s *service) refuseOIDC(w http.ResponseWriter, r *http.Request, flow flowhook.Flow, no *flowhook.Refusal,
	returnTo string) {
	if !s.runFailed(r.Context(), exchange(r), flow, flowhook.OIDC, no) {
		s.showRefused(w, r, no, returnTo)
	}
}

// A refusedSignIn is the data of the page about a sign-in with a provider that failed.
type refusedSignIn struct{ Text, ReturnTo string }

// showRefused shows the sign-in page with the reason why a sign-in with the provider was refused. To a
// user who is signed in already, it shows only the reason.
func (s *service) showRefused(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal, returnTo string) {
	if u := s.visitor(r); u != nil {
		s.pages.render(w, r, http.StatusForbidden, "refused", page{Title: "Sign-in failed", User: u,
			Data: refusedSignIn{no.Text, returnTo}})
		return
	}
	f := signInForm(r, "", returnTo)
	f.Notice = no.Text
	s.pages.render(w, r, http.StatusForbidden, "login", page{Title: "Sign in", Data: f})
}

// callbackFailed answers a callback that could not be checked.
func (s *service) callbackFailed(w http.ResponseWriter, r *http.Request, p *provider, err error) {
	if gone := r.Context().Err(); gone != nil {
		s.fail(w, r, gone)
		return
	}
	s.providerDown(w, r, p, err)
}

func (s *service) providerDown(w http.ResponseWriter, r *http.Request, p *provider, err error) {
	s.log.ErrorContext(r.Context(), "the OpenID provider is unavailable", "provider", p.Key, "error", err)
	w.Header().Set("Retry-After", "30")
	s.show(w, r, http.StatusServiceUnavailable, "refused", page{Title: "Sign-in failed", Data: refusedSignIn{
		Text: "You cannot sign in with " + p.Name + " right now, because it cannot be reached. Please try again in a " +
			"moment, or sign in another way."}})
}
