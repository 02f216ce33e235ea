package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
	"golang.org/x/oauth2"

	"github.com/coreos/go-oidc/v3/oidc"
)

// The provider's word is not enough for an account that is somebody's already: who registered with the address here may not
// be who has it there. So accounts are never linked by their address, only told apart by it.
var (
	errUnverified = &refusal{"", "address_unverified", "The provider has not verified your email address, so it cannot be used here. Register with a password instead."}
	errLinked     = &refusal{"", "address_taken", "There is an account with your email address already. Sign in with its password."}
)

// startOIDC sends the browser to the provider. It is reached by a link, since the policy lets no form lead to another site.
func (s *service) startOIDC(w http.ResponseWriter, r *http.Request) {
	_, config, err := s.oidc.discover(r.Context())
	if errors.Is(err, context.Canceled) { // the client has gone
		s.fail(w, r, err)
		return
	}
	if err != nil {
		s.providerAway(w, r, err)
		return
	}
	a, err := s.oidc.begin(w)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, config.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), http.StatusSeeOther)
}

// finishOIDC is where the provider sends the browser back to. It is a login, or, for who is new, a registration.
func (s *service) finishOIDC(w http.ResponseWriter, r *http.Request) {
	x := exchange(r)
	c, err := s.oidc.finish(w, r)
	var no *refusal
	switch {
	case errors.As(err, &no):
		s.log.InfoContext(r.Context(), "a sign-in by the provider was refused", "reason", err)
		s.refuseOIDC(w, r, flowhook.Login, no)
		return
	case r.Context().Err() != nil:
		s.fail(w, r, r.Context().Err())
		return
	case err != nil:
		s.providerAway(w, r, err)
		return
	}
	u, err := s.db.userByOIDC(r.Context(), s.oidc.key, c.Subject)
	switch {
	case errors.Is(err, errNoUser):
		s.registerOIDC(w, r, c)
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	x.Identity = u.identity()
	handled, err := s.complete(r.Context(), flowhook.Login, flowhook.OIDC, func(ctx context.Context) error { return s.issue(ctx, x) })
	s.settled(w, r, handled, err, "/")
}

// registerOIDC makes an account for who signs in by the provider for the first time. The session comes from the hook.
func (s *service) registerOIDC(w http.ResponseWriter, r *http.Request, c claims) {
	x := exchange(r)
	// The route is one of login, so this is not done yet: a closed registration is closed here, too.
	if handled, err := s.pipeline.Run(r.Context(), flowhook.Registration, flowhook.Before, flowhook.FlowWide); handled {
		return
	} else if err != nil {
		s.fail(w, r, err)
		return
	}
	email, ok := normaliseEmail(c.Email)
	if !ok || !c.Verified {
		s.refuseOIDC(w, r, flowhook.Registration, errUnverified)
		return
	}
	u := user{ID: newUserID(), Email: email, Name: c.Name, Verified: true}
	if nameFault(u.Name) != "" {
		u.Name = "New user" // to be changed at the settings
	}
	x.Identity = u.identity()
	handled, err := s.complete(r.Context(), flowhook.Registration, flowhook.OIDC, func(ctx context.Context) error {
		if err := s.db.insertUser(ctx, u, s.now()); err != nil {
			return err
		}
		return s.db.insertOIDC(ctx, s.oidc.key, c.Subject, u.ID, s.now())
	})
	if errors.Is(err, errTaken) {
		s.show(w, r, http.StatusForbidden, "refused", page{Title: "The sign-in did not work", Data: errLinked.Text})
		return
	}
	s.settled(w, r, handled, err, "/")
}

// refuseOIDC answers where there is nothing to complete.
func (s *service) refuseOIDC(w http.ResponseWriter, r *http.Request, flow flowhook.Flow, no *refusal) {
	if !s.refused(r.Context(), exchange(r), flow, flowhook.OIDC, no) {
		s.show(w, r, http.StatusForbidden, "refused", page{Title: "The sign-in did not work", Data: no.Text})
	}
}

func (s *service) providerAway(w http.ResponseWriter, r *http.Request, err error) {
	s.log.ErrorContext(r.Context(), "the OpenID provider is away", "error", err)
	w.Header().Set("Retry-After", "30")
	s.pages.render(w, r, http.StatusServiceUnavailable, "refused", page{Title: "The sign-in did not work",
		Data: "The provider cannot be reached right now. Please try again in a moment, or sign in with a password."})
}
