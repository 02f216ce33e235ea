package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
	"golang.org/x/oauth2"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Confirmed accounts are never linked by their address. An account whose address was never
// confirmed goes to the user for whom the provider has verified it; see takeover.go.
var (
	errUnverified = refuse("", "address_unverified",
		"The provider has not verified your email address, so you cannot use it here. "+
			"Register with a password instead.")
	errLinked = refuse("", "address_taken", "An account with your email address already exists. Sign in with your "+
		"password.")
)

// startOIDC redirects the browser to the provider. With fresh in the query, the provider must
// authenticate the user again. Pages link to it, because the policy allows no form that leads to
// another site.
func (s *service) startOIDC(w http.ResponseWriter, r *http.Request) {
	_, config, err := s.oidc.discover(r.Context())
	if errors.Is(err, context.Canceled) { // the client has gone
		s.fail(w, r, err)
		return
	}
	if err != nil {
		s.providerDown(w, r, err)
		return
	}
	a, err := s.oidc.begin(w, s.returnTo(r, flowhook.OIDC), r.Form.Has("fresh"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if a.Fresh {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	http.Redirect(w, r, config.AuthCodeURL(a.State, options...), http.StatusSeeOther)
}

// finishOIDC handles the provider's callback. It completes a login or, for a new user, a
// registration.
func (s *service) finishOIDC(w http.ResponseWriter, r *http.Request) {
	x := exchange(r)
	c, a, err := s.oidc.callback(w, r)
	var no *flowhook.Refusal
	switch {
	case errors.As(err, &no):
		s.log.InfoContext(r.Context(), "OIDC sign-in refused", "reason", err)
		s.refuseOIDC(w, r, flowhook.Login, no, a.ReturnTo)
		return
	case r.Context().Err() != nil:
		s.fail(w, r, r.Context().Err())
		return
	case err != nil:
		s.providerDown(w, r, err)
		return
	}
	u, err := s.db.userByOIDC(r.Context(), s.oidc.id, c.Subject)
	switch {
	case errors.Is(err, errNoUser):
		s.registerOIDC(w, r, c, a.ReturnTo)
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	x.Identity = u.identity()
	handled, err := s.complete(r.Context(), flowhook.Login, flowhook.OIDC, func(ctx context.Context) error {
		// The account may have been deleted or recovered by its owner meanwhile.
		now, err := s.db.userByOIDC(ctx, s.oidc.id, c.Subject)
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
func (s *service) registerOIDC(w http.ResponseWriter, r *http.Request, c claims, returnTo string) {
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
		s.refuseOIDC(w, r, flowhook.Registration, errUnverified, returnTo)
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
		return s.db.insertOIDC(ctx, s.oidc.id, c.Subject, owner.ID, s.now())
	})
	if !handled && errors.Is(err, errTaken) {
		s.showRefused(w, r, errLinked, returnTo)
		return
	}
	s.finish(w, r, handled, err, returnTo)
}

// refuseOIDC answers a sign-in that is refused before Complete.
func (s *service) refuseOIDC(w http.ResponseWriter, r *http.Request, flow flowhook.Flow, no *flowhook.Refusal,
	returnTo string) {
	if !s.runFailed(r.Context(), exchange(r), flow, flowhook.OIDC, no) {
		s.showRefused(w, r, no, returnTo)
	}
}

// showRefused shows the sign-in page with the reason why a sign-in with the provider was refused. To a
// user who is signed in already, it shows only the reason.
func (s *service) showRefused(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal, returnTo string) {
	if u := s.visitor(r); u != nil {
		s.pages.render(w, r, http.StatusForbidden, "refused", page{Title: "Sign-in failed", User: u, Data: no.Text})
		return
	}
	f := signInForm(r, "", returnTo)
	f.Notice = no.Text
	s.pages.render(w, r, http.StatusForbidden, "login", page{Title: "Sign in", Data: f})
}

func (s *service) providerDown(w http.ResponseWriter, r *http.Request, err error) {
	s.log.ErrorContext(r.Context(), "the OpenID provider is unavailable", "error", err)
	w.Header().Set("Retry-After", "30")
	s.pages.render(w, r, http.StatusServiceUnavailable, "refused", page{Title: "Sign-in failed",
		Data: "The provider cannot be reached right now. Please try again in a moment, or sign in with a password."})
}
