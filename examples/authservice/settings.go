package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/flowhook/flowhook"
)

// settings is the data of the settings page.
type settings struct {
	Saved             bool
	Verified          bool
	Profile, Password form
}

var (
	errCurrent   = refuse("current", wrongPassword, "This is not your current password.")
	errMeanwhile = refuse("", "changed_meanwhile",
		"Your account was just changed in another session. Your changes were not saved.")
)

// profileForm returns the form of the profile. Without a password, the user cannot change the
// address: changing it requires entering the password again (OWASP ASVS 5.0, 7.5.1).
func profileForm(u user, name, email string) form {
	f := form{Action: "/settings/profile", Submit: "Save profile", Fields: []field{
		{Name: "name", Label: "Name", Type: "text", Autocomplete: "name", Value: name, MaxLength: nameMax},
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "email", Value: email, MaxLength: 254,
			Hint: "It changes when you open the link that we send to the new address."},
		{Name: "current", Label: "Password", Type: "password", Autocomplete: "current-password", Optional: true,
			Hint: "Required only if you change the email address."},
	}}
	if u.PasswordHash == "" {
		f.Fields = f.Fields[:1]
	}
	return f
}

// passwordForm returns the form for a new password. It is shown only to users who have a password.
// Otherwise anyone with access to a signed-in browser could take over the account by setting a
// first password. To offer that, make the user sign in with the provider again first (prompt=login,
// and check auth_time).
func passwordForm() form {
	return form{Action: "/settings/password", Submit: "Change password", Fields: []field{
		{Name: "current", Label: "Current password", Type: "password", Autocomplete: "current-password"},
		{Name: "new", Label: "New password", Type: "password", Autocomplete: "new-password",
			Hint: "At least 8 characters. Longer is better. You will be signed out everywhere else."},
	}}
}

func (s *service) settingsPage(w http.ResponseWriter, r *http.Request) {
	if u, _, ok := s.signedIn(w, r); ok {
		s.renderSettings(w, r, http.StatusOK, u, profileForm(u, u.Name, u.Email), passwordForm())
	}
}

func (s *service) renderSettings(w http.ResponseWriter, r *http.Request, status int, u user, profile, password form) {
	s.pages.render(w, r, status, "settings", page{Title: "Settings", User: &u,
		Data: settings{Saved: r.URL.Query().Has("saved"), Verified: u.Verified, Profile: profile, Password: password}})
}

// saveProfile changes the name and, if the password is given, the address. The verify_new_address
// hook keeps the address as it was until the link that it sends to the new one is opened, and
// notify_previous_addresses tells the old one.
//
// Whether another account has the new address shows only when its owner opens the link.
func (s *service) saveProfile(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	name, email := strings.TrimSpace(r.PostFormValue("name")), u.Email
	f := profileForm(u, name, r.PostFormValue("email"))
	render := func() { s.renderSettings(w, r, http.StatusUnprocessableEntity, u, f, passwordForm()) }
	if fault := nameFault(name); fault != "" {
		f.refuse(refuse("name", "", fault))
	}
	if u.PasswordHash != "" || r.PostForm.Has("email") {
		if email, ok = normalizeEmail(r.PostFormValue("email")); !ok {
			f.refuse(badEmail)
		}
	}
	if f.Bad() {
		render()
		return
	}
	if email != u.Email {
		if handled, err := s.confirmPassword(r, u, flowhook.Profile); err != nil {
			s.settingsSaved(w, r, &f, render, handled, err)
			return
		}
	}

	changed := u
	changed.Name, changed.Email, changed.Verified = name, email, u.Verified && email == u.Email
	x.Identity, x.Previous = changed.identity(), u.identity()
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Profile, func(ctx context.Context) error {
		if err := s.checkSession(ctx, session); err != nil {
			return err
		}
		if email != u.Email {
			if err := s.db.countChange(ctx, u.ID, s.now()); err != nil {
				return err
			}
		}
		saved, err := s.storeProfile(ctx, u, name, x.Identity.Addresses[0].Value, email != u.Email)
		if err == nil {
			x.Identity = saved.identity()
		}
		return err
	})
	s.settingsSaved(w, r, &f, render, handled, err)
}

// storeProfile saves name and email in the transaction of ctx. email is the address after the hooks
// at before_persist, and u the user before them, whose password was checked if the address is to
// change. It returns errMeanwhile if the password or the address has changed since.
func (s *service) storeProfile(ctx context.Context, u user, name, email string, changes bool) (user, error) {
	now, err := s.db.userByID(ctx, u.ID)
	if err != nil {
		return user{}, err
	}
	if now.Email != u.Email || changes && now.PasswordHash != u.PasswordHash {
		return user{}, errMeanwhile
	}
	return s.db.updateProfile(ctx, u.ID, name, email)
}

// savePassword changes the password and sends a notification in the same transaction. If the user
// has no password, any current password is wrong.
func (s *service) savePassword(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	f := passwordForm()
	render := func() {
		s.renderSettings(w, r, http.StatusUnprocessableEntity, u, profileForm(u, u.Name, u.Email), f)
	}
	if fault := passwordFault(r.PostFormValue("new")); fault != "" {
		f.refuse(refuse("new", "", fault))
		render()
		return
	}
	if handled, err := s.confirmPassword(r, u, flowhook.Password); err != nil {
		s.settingsSaved(w, r, &f, render, handled, err)
		return
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
		if err != nil || !now.Verified {
			return err
		}
		return s.courier.Send(ctx, s.passwordMail(now))
	})
	s.settingsSaved(w, r, &f, render, handled, err)
}

// confirmPassword checks the password in the field current. If it is wrong, confirmPassword runs
// the hooks at failed and returns errCurrent. An empty one is not checked, and no hook runs.
func (s *service) confirmPassword(r *http.Request, u user, strategy flowhook.Strategy) (handled bool, err error) {
	if r.PostFormValue("current") == "" { // does not count for rate_limit, so that it must cost nothing
		return false, errCurrent
	}
	match, err := s.passwords.match(r.Context(), r.PostFormValue("current"), u.PasswordHash)
	if err != nil || match {
		return false, err
	}
	return s.runFailed(r.Context(), exchange(r), flowhook.Settings, strategy, errCurrent), errCurrent
}

// reauthenticate is the code with which verify_new_address refuses a sign-in that is too old.
const reauthenticate = "reauthenticate"

// settingsSaved answers a form of the settings page. It adds a refusal to f and calls render, unless
// the user must sign in again first.
func (s *service) settingsSaved(w http.ResponseWriter, r *http.Request, f *form, render func(),
	handled bool, err error) {
	var no *flowhook.Refusal
	if !handled && errors.As(err, &no) {
		if no.Code == reauthenticate {
			http.Redirect(w, r, "/login?refresh", http.StatusSeeOther)
			return
		}
		f.refuse(no)
		render()
		return
	}
	s.finish(w, r, handled, err, "/settings?saved")
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
		title := "A link is on its way"
		if s.usesCode(flowhook.Verification) {
			title = "A code is on its way"
		}
		s.pages.render(w, r, http.StatusOK, "sent", page{Title: title, User: &u,
			Data: "We send at most one email per minute."})
	}
}

// changePending is where show_verification_ui in auth.yml leads after a change of the address.
func (s *service) changePending(w http.ResponseWriter, r *http.Request) {
	if u, _, ok := s.signedIn(w, r); ok {
		s.pages.render(w, r, http.StatusOK, "pending", page{Title: "Check your new address", User: &u})
	}
}

// finish answers after complete, for a handler that needs a session. On success it redirects to the
// URL to, unless a hook has answered.
func (s *service) finish(w http.ResponseWriter, r *http.Request, handled bool, err error, to string) {
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrNoSession): // ended elsewhere meanwhile
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}
