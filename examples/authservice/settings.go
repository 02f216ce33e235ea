package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
)

var (
	errCurrent   = refuse("current", wrongPassword, "This is not your current password.")
	errMeanwhile = refuse("", "changed_meanwhile",
		"Your account was just changed in another session. Your changes were not saved.")
	errSame = refuse("email", "same_address", "This is your email address already.")
)

func nameForm(name string) form {
	return form{Action: "/settings/profile", Submit: "Save name", Quiet: true, Fields: []field{
		{Name: "name", Label: "Name", Type: "text", Autocomplete: "name", Value: name},
	}}
}

// emailForm returns the form of the address. It is shown only to users who have a password: changing
// the address requires entering the password again (OWASP ASVS 5.0, 7.5.1).
func emailForm(email string) form {
	return form{Action: "/settings/email", Submit: "Change email", Quiet: true, Fields: []field{
		{Name: "email", Label: "New email address", Type: "email", Autocomplete: "email", Value: email,
			Hint: "Your address changes when you open the link that we send to the new one."},
		{Name: "current", Label: "Current password", Purpose: "to change your email address", Type: "password",
			Autocomplete: "current-password"},
	}}
}

// saveProfile changes the name.
func (s *service) saveProfile(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x, changed := exchange(r), u
	changed.Name = cleanName(r.PostFormValue("name"))
	if fault := nameFault(changed.Name); fault != "" {
		s.settingsAgain(w, r, u, "/settings/profile", refuse("name", "", fault))
		return
	}
	x.Identity, x.Previous, x.Session = changed.identity(), u.identity(), session
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Profile, func(ctx context.Context) error {
		if err := s.checkSession(ctx, session); err != nil {
			return err
		}
		notice{Saved: "name"}.beside(r).leave(x.Writer)
		return s.storeProfile(ctx, u, changed.Name, u.Email)
	})
	s.settingsSaved(w, r, u, "/settings/profile", handled, err)
}

// saveEmail asks for a new address. The verify_new_address hook keeps the address as it was until
// the link that it sends to the new one is opened, and notify_previous_addresses tells the old one.
//
// Whether another account has the new address shows only when its owner opens the link.
func (s *service) saveEmail(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x, changed := exchange(r), u
	x.Identity, x.Session = u.identity(), session
	var wrong []*flowhook.Refusal
	if changed.Email, ok = normalizeEmail(r.PostFormValue("email")); !ok {
		wrong = append(wrong, badAddress(r.PostFormValue("email")))
	} else if changed.Email == u.Email {
		wrong = append(wrong, errSame)
	}
	if r.PostFormValue("current") == "" {
		wrong = append(wrong, errCurrent)
	}
	if len(wrong) > 0 {
		s.settingsAgain(w, r, u, "/settings/email", wrong...)
		return
	}
	if handled, err := s.confirmPassword(r, u, flowhook.Settings, flowhook.Profile); err != nil {
		s.settingsSaved(w, r, u, "/settings/email", handled, err)
		return
	}
	changed.Verified = false
	x.Identity, x.Previous = changed.identity(), u.identity()
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Profile, func(ctx context.Context) error {
		notice{New: changed.Email, Account: u.ID}.leave(x.Writer) // for the page that show_verification_ui leads to
		if err := s.checkSession(ctx, session); err != nil {
			return err
		}
		if err := s.db.countChange(ctx, u.ID, s.now()); err != nil {
			return err
		}
		return s.storeProfile(ctx, u, u.Name, x.Identity.Addresses[0].Value)
	})
	s.settingsSaved(w, r, u, "/settings/email", handled, err)
}

// storeProfile saves a new name, or email, the address after the hooks at before_persist, in the
// transaction of ctx. u is the user before them, whose password was checked if the address is to
// change. It returns errMeanwhile if the password or the address has changed since.
func (s *service) storeProfile(ctx context.Context, u user, name, email string) error {
	now, err := s.db.userByID(ctx, u.ID)
	if err != nil {
		return err
	}
	if now.Email != u.Email || now.PasswordHash != u.PasswordHash {
		return errMeanwhile
	}
	if name == u.Name {
		name = now.Name // it may have changed meanwhile
	}
	saved, err := s.db.updateProfile(ctx, u.ID, name, email)
	if err == nil {
		flowhook.MustFromContext(ctx).Identity = saved.identity()
	}
	return err
}

// confirmPassword checks the password in the field current. If it is wrong, confirmPassword runs
// the hooks at failed and returns errCurrent.
func (s *service) confirmPassword(r *http.Request, u user, flow flowhook.Flow, strategy flowhook.Strategy) (handled bool,
	err error) {
	match, err := s.passwords.match(r.Context(), r.PostFormValue("current"), u.PasswordHash)
	if err != nil || match {
		return false, err
	}
	return s.runFailed(r.Context(), exchange(r), flow, strategy, errCurrent), errCurrent
}

// reauthenticate is the code with which verify_new_address refuses a sign-in that is too old.
const reauthenticate = "reauthenticate"

// settingsSaved answers a form of the settings page. It shows a refusal in the form, unless the user
// must sign in again first.
func (s *service) settingsSaved(w http.ResponseWriter, r *http.Request, u user, action string, handled bool, err error) {
	var no *flowhook.Refusal
	if !handled && errors.As(err, &no) {
		if no.Code == reauthenticate {
			s.keep(w, r)
			http.Redirect(w, r, "/login?refresh&return_to=/settings", http.StatusSeeOther)
			return
		}
		s.settingsAgain(w, r, u, action, no)
		return
	}
	s.finish(w, r, handled, err, "/settings")
}

// confirmAgain sends the link to an unconfirmed address again. It saves nothing; the verify hook
// sends the email.
func (s *service) confirmAgain(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	if u.Verified { // confirmed meanwhile, so no link is sent
		http.Redirect(w, r, "/settings", http.StatusSeeOther)
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	handled, err := s.complete(r.Context(), confirmAddress, flowhook.FlowWide, nil)
	s.finish(w, r, handled, err, "/settings/sent")
}

func (s *service) confirmationSent(w http.ResponseWriter, r *http.Request) {
	if u, _, ok := s.signedIn(w, r); ok {
		s.pages.render(w, r, http.StatusOK, "sent", page{Title: "Check your email", User: &u, Data: sent{Email: u.Email}})
	}
}

// changePending is where show_verification_ui in auth.yml leads after a change of the address.
func (s *service) changePending(w http.ResponseWriter, r *http.Request) {
	if u, _, ok := s.signedIn(w, r); ok {
		s.pages.render(w, r, http.StatusOK, "pending", page{Title: "Check your new inbox", User: &u,
			Data: noticeOf(r).waiting(u)})
	}
}

// finish answers after complete, for a handler that needs a session. On success it redirects to the
// URL to, unless a hook has answered.
func (s *service) finish(w http.ResponseWriter, r *http.Request, handled bool, err error, to string) {
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrNoSession): // ended elsewhere meanwhile
		s.toSignIn(w, r)
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}
