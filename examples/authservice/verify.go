package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
)

// verifyPage shows a button. Mail scanners follow links, but they do not press buttons: only the POST redeems.
func (s *service) verifyPage(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "verify", page{Title: "Confirm your address", Data: r.URL.Query().Get("token")})
}

func (s *service) verify(w http.ResponseWriter, r *http.Request) {
	x := exchange(r)
	handled, err := s.complete(r.Context(), flowhook.Verification, flowhook.Link, func(ctx context.Context) error {
		return s.pipeline.Redeem(ctx, r.PostFormValue("token"), func(ctx context.Context, v flowhook.VerificationToken) error {
			confirmed, err := s.db.confirmEmail(ctx, v.IdentityID, v.Address.Value, s.now())
			if err != nil {
				return err
			}
			if !confirmed {
				return flowhook.ErrBadToken // the address is not the user's any more; the token is not used up
			}
			u, err := s.db.userByID(ctx, v.IdentityID)
			x.Identity = u.identity()
			return err
		})
	})
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrBadToken):
		s.show(w, r, http.StatusGone, "used", page{Title: "This link is of no use any more"})
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, "/verify/done", http.StatusSeeOther)
	}
}

func (s *service) verified(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "verified", page{Title: "Your address is confirmed"})
}

// maintenance is where auth.yml's redirect leads. It is 503, so that no program takes it for what it asked for.
func (s *service) maintenance(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "300")
	s.show(w, r, http.StatusServiceUnavailable, "maintenance", page{Title: "We are working on it",
		Data: "Nobody can sign in while we maintain the service. Please come back later."})
}
