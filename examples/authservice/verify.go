package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
)

const verifyTitle = "Confirm your address"

// verifyPage shows a button. Mail scanners follow links but do not press buttons, so only the POST
// redeems the token. Links that change an address, or undo that, lead here, too. Without a token, it
// shows the form for a code if auth.yml says use: code.
func (s *service) verifyPage(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if token != "" || !s.usesCode(flowhook.Verification) {
		s.show(w, r, http.StatusOK, "verify", page{Title: verifyTitle, Data: token})
		return
	}
	f := verifyCodeForm("")
	f.Intro = "Enter the address that you want to confirm, and the code that we sent to it."
	s.ask(w, r, http.StatusOK, verifyTitle, f)
}

func verifyCodeForm(email string) form { return codeForm("/verify", "Confirm my address", email) }

// verify redeems a link or, for a form with an address, a code.
func (s *service) verify(w http.ResponseWriter, r *http.Request) {
	if r.PostForm.Has("email") && s.usesCode(flowhook.Verification) {
		s.verifyByCode(w, r)
		return
	}
	x, undone := exchange(r), false
	handled, err := s.complete(r.Context(), flowhook.Verification, flowhook.Link, func(ctx context.Context) error {
		return s.pipeline.Redeem(ctx, r.PostFormValue("token"), func(ctx context.Context, t flowhook.Token) (err error) {
			if t.Purpose == flowhook.PurposeAddressChange {
				undone, err = s.changeAddress(ctx, t)
			} else {
				undone, err = false, s.confirm(ctx, t)
			}
			if err != nil {
				return err
			}
			u, err := s.db.userByID(ctx, t.IdentityID)
			x.Identity = u.identity()
			return err
		})
	})
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrUsedToken):
		s.show(w, r, http.StatusGone, "used", page{Title: "This link was already used", Data: true})
	case errors.Is(err, flowhook.ErrBadToken):
		s.show(w, r, http.StatusGone, "used", page{Title: "This link no longer works", Data: false})
	case err != nil:
		s.fail(w, r, err)
	case undone:
		http.Redirect(w, r, "/recovery?undone", http.StatusSeeOther)
	default:
		http.Redirect(w, r, "/verify/done", http.StatusSeeOther)
	}
}

// verifyByCode confirms an address with a code. Like recoverByCode, it redeems the code before
// Complete.
func (s *service) verifyByCode(w http.ResponseWriter, r *http.Request) {
	x, typed := exchange(r), r.PostFormValue("email")
	f := verifyCodeForm(typed)
	email, ok := normalizeEmail(typed)
	if !ok {
		f.refuse(badEmail)
		s.ask(w, r, http.StatusUnprocessableEntity, verifyTitle, f)
		return
	}
	err := s.redeemCode(r, flowhook.PurposeVerification, email, func(ctx context.Context, t flowhook.Token) error {
		if err := s.confirm(ctx, t); err != nil {
			return err
		}
		u, err := s.db.userByID(ctx, t.IdentityID)
		x.Identity = u.identity()
		return err
	})
	if errors.Is(err, flowhook.ErrBadToken) {
		if !s.runFailed(r.Context(), x, flowhook.Verification, flowhook.Code, errCode) {
			f.refuse(errCode)
			s.ask(w, r, http.StatusUnprocessableEntity, verifyTitle, f)
		}
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	handled, err := s.complete(r.Context(), flowhook.Verification, flowhook.Code, nil)
	s.finish(w, r, handled, err, "/verify/done")
}

// confirm marks the address of a token as confirmed, in the transaction of ctx.
func (s *service) confirm(ctx context.Context, t flowhook.Token) error {
	confirmed, err := s.db.confirmEmail(ctx, t.IdentityID, t.Address.Value, s.now())
	if err == nil && !confirmed {
		return flowhook.ErrBadToken // the address has changed; the token stays unused
	}
	return err
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
