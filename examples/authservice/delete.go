package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
)

// deleteForm returns the form that deletes the account. It is shown to users with a password, and to
// others right after they have signed in with the provider again; see fresh.go. These type their
// address, so that a single click does not delete anything.
func deleteForm(u user) form {
	one := field{Name: "current", Label: "Current password", Purpose: "to delete your account", Type: "password",
		Autocomplete: "current-password"}
	if u.PasswordHash == "" {
		one = field{Name: "confirm", Label: "Your email address", Purpose: "to delete your account", Type: "email",
			Autocomplete: "off", Hint: "Enter " + u.Email + " to confirm."}
	}
	return form{Action: "/settings/delete", Submit: "Delete account", Danger: true, Fields: []field{one}}
}

// deleteAccount deletes the account and its sessions, and notifies its owner by email. The audit log
// keeps its rows.
func (s *service) deleteAccount(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	typed, _ := normalizeEmail(r.PostFormValue("confirm"))
	switch {
	case u.PasswordHash == "" && !s.fresh(r, session):
		http.Redirect(w, r, settingsStale, http.StatusSeeOther)
		return
	case u.PasswordHash == "" && emailKey(typed) != emailKey(u.Email):
		s.settingsAgain(w, r, u, "/settings/delete", refuse("confirm", "not_confirmed", "Enter "+u.Email+"."))
		return
	case u.PasswordHash != "" && r.PostFormValue("current") == "":
		s.settingsAgain(w, r, u, "/settings/delete", errCurrent)
		return
	case u.PasswordHash != "":
		if handled, err := s.confirmPassword(r, u, deleteAccount, flowhook.FlowWide); err != nil {
			s.settingsSaved(w, r, u, "/settings/delete", handled, err)
			return
		}
	}
	handled, err := s.complete(r.Context(), deleteAccount, flowhook.FlowWide, func(ctx context.Context) error {
		if err := s.checkSession(ctx, session); err != nil {
			return err
		}
		now, err := s.db.userByID(ctx, u.ID)
		switch {
		case errors.Is(err, errNoUser):
			return flowhook.ErrNoSession
		case err != nil:
			return err
		case now.PasswordHash != u.PasswordHash:
			return errMeanwhile
		}
		if err := s.signedOutNow(ctx, x); err != nil {
			return err
		}
		if err := s.store.DeleteSessions(ctx, u.ID, ""); err != nil {
			return err
		}
		if _, err := s.db.exec(ctx, "DELETE FROM users WHERE id = $1", u.ID); err != nil {
			return err
		}
		if !now.Verified { // the address may be somebody else's
			return nil
		}
		return s.courier.Send(ctx, s.deletedMail(now))
	})
	var no *flowhook.Refusal
	if !handled && errors.As(err, &no) {
		s.settingsAgain(w, r, u, "/settings/delete", no)
		return
	}
	s.finish(w, r, handled, err, "/settings/deleted")
}

func (s *service) accountDeleted(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "deleted", page{Title: "Your account is deleted"})
}
