package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
)

// verifyPage shows a button. Mail scanners follow links but do not press buttons, so only the POST
// redeems the token.
func (s *service) verifyPage(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "verify", page{Title: "Confirm your address", Data: r.URL.Query().Get("token")})
}

func (s *service) verify(w http.ResponseWriter, r *http.Request) {
	x := exchange(r)
	handled, err := s.complete(r.Context(), flowhook.Verification, flowhook.Link, func(ctx context.Context) error {
		return s.pipeline.Redeem(ctx, r.PostFormValue("token"),
			func(ctx context.Context, v flowhook.Token) error {
				confirmed, err := s.db.confirmEmail(ctx, v.IdentityID, v.Address.Value, s.now())
				if err != nil {
					return err
				}
				if !confirmed {
					return flowhook.ErrBadToken // the address has changed; the token stays unused
				}
				u, err := s.db.userByID(ctx, v.IdentityID)
				x.Identity = u.identity()
				return err
			})
	})
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrBadToken):
		s.show(w, r, http.StatusGone, "used", page{Title: "This link no longer works"})
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, "/verify/done", http.StatusSeeOther)
	}
}

func (s *service) verified(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "verified", page{Title: "Your address is confirmed"})
}

// maintenance is the target of the redirect in auth.yml. Its status is 503, so that no program
// mistakes it for the page it requested.
func (s *service) maintenance(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "300")
	s.show(w, r, http.StatusServiceUnavailable, "maintenance", page{Title: "Down for maintenance",
		Data: "You cannot sign in during maintenance. Please come back later."})
}
