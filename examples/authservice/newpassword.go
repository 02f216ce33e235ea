package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
)

// firstPasswordForm returns the form for the first password of a user who has just signed in with
// the provider again; see fresh.go.
func firstPasswordForm() form {
	return form{Action: "/settings/password", Submit: "Set password", Quiet: true, Fields: []field{
		{Name: "new", Label: "New password", Type: "password", Autocomplete: "new-password",
			Hint: "At least 8 characters. Longer is better. You will be signed out everywhere else."},
	}}
}

// passwordForm returns the form for a new password. It is shown only to users who have a password.
func passwordForm() form {
	return form{Action: "/settings/password", Submit: "Change password", Quiet: true, Fields: []field{
		{Name: "current", Label: "Current password", Type: "password", Autocomplete: "current-password"},
		{Name: "new", Label: "New password", Type: "password", Autocomplete: "new-password",
			Hint: "At least 8 characters. Longer is better. You will be signed out everywhere else."},
	}}
}

// savePassword changes the password and sends a notification in the same transaction. A user without
// a password sets the first one, right after signing in with the provider again; otherwise any
// current password is wrong.
func (s *service) savePassword(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	first := u.PasswordHash == "" && s.fresh(r, session)
	if u.PasswordHash == "" && !first && !r.PostForm.Has("current") { // the form of firstPasswordForm
		http.Redirect(w, r, settingsStale, http.StatusSeeOther)
		return
	}
	f := passwordForm()
	if first {
		f = firstPasswordForm()
	} else if r.PostFormValue("current") == "" {
		f.refuse(errCurrent)
	}
	if fault := passwordFault(r.PostFormValue("new"), u.Name, u.Email); fault != "" {
		f.refuse(refuse("new", "", fault))
	}
	if f.Bad() {
		s.renderSettings(w, r, http.StatusUnprocessableEntity, u, f)
		return
	}
	if !first {
		if handled, err := s.confirmPassword(r, u, flowhook.Settings, flowhook.Password); err != nil {
			s.passwordSaved(w, r, u, handled, err)
			return
		}
	}
	hash, err := s.passwords.hash(r.Context(), r.PostFormValue("new"))
	if err != nil {
		s.fail(w, r, err)
		return
	}

	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Password, func(ctx context.Context) error {
		if err := s.checkSession(ctx, session); err != nil {
			return err
		}
		now, err := s.db.userByID(ctx, u.ID)
		if err != nil {
			return err
		}
		changed, err := s.db.updatePassword(ctx, u.ID, hash, u.PasswordHash)
		if err == nil && !changed {
			return errMeanwhile
		}
		notice{Saved: "password"}.beside(r).leave(x.Writer)
		if err != nil || !now.Verified {
			return err
		}
		return s.courier.Send(ctx, s.passwordMail(now))
	})
	s.passwordSaved(w, r, u, handled, err)
}

// passwordSaved answers after a change of the password. If the form was sent twice, the first time has
// changed the password, so the current password is wrong the second time. That is no failure.
func (s *service) passwordSaved(w http.ResponseWriter, r *http.Request, u user, handled bool, err error) {
	again := errors.Is(err, errCurrent) || errors.Is(err, errMeanwhile)
	if again && s.hasPassword(r.Context(), u, r.PostFormValue("new")) {
		notice{Saved: "password"}.beside(r).leave(w)
		err = nil
	}
	s.settingsSaved(w, r, u, "/settings/password", handled, err)
}

// sentAgain is how long after a change of the password the same form may come again.
const sentAgain = time.Minute

// hasPassword reports whether u has the password now, and has changed it within sentAgain. Without such
// a change, the form would try two passwords at once. It returns false if it cannot tell.
func (s *service) hasPassword(ctx context.Context, u user, password string) bool {
	changed := false
	err := s.db.row(ctx, []any{&changed}, `SELECT EXISTS (SELECT 1 FROM audit WHERE user_id = $1 AND at > $2
		AND point = 'settings/after/password')`, u.ID, s.now().Add(-sentAgain).UnixMicro())
	if err != nil || !changed {
		return false
	}
	now, err := s.db.userByID(ctx, u.ID)
	if err != nil {
		return false
	}
	same, err := s.passwords.match(ctx, password, now.PasswordHash)
	return err == nil && same
}
