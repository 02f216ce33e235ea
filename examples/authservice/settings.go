package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/flowhook/flowhook"
)

// settings is what the page of settings shows.
type settings struct {
	Saved             bool
	Verified          bool
	Profile, Password form
}

var (
	errCurrent   = &refusal{"current", wrongPassword, "This is not your current password."}
	errMeanwhile = &refusal{"", "changed_meanwhile", "Your account was changed elsewhere just now. Nothing was changed here."}
)

// profileForm offers no new address to who has no password: what one signs in by is not changed without giving it again
// (OWASP ASVS 5.0, 7.5.1).
func profileForm(u user, name, email string) form {
	f := form{Action: "/settings/profile", Submit: "Save profile", Fields: []field{
		{Name: "name", Label: "Name", Type: "text", Autocomplete: "name", Value: name, MaxLength: nameMax},
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "email", Value: email, MaxLength: 254,
			Hint: "A new address has to be confirmed again."},
		{Name: "current", Label: "Password", Type: "password", Autocomplete: "current-password", Optional: true,
			Hint: "Only needed to change the email address."},
	}}
	if u.PasswordHash == "" {
		f.Fields = f.Fields[:1]
	}
	return f
}

// passwordForm is for who has a password. An account without one gets none: who finds a browser signed in would take it over
// by a first password. To offer that, let the provider sign the user in anew just before (prompt=login, and a look at
// auth_time).
func passwordForm() form {
	return form{Action: "/settings/password", Submit: "Change password", Fields: []field{
		{Name: "current", Label: "Current password", Type: "password", Autocomplete: "current-password"},
		{Name: "new", Label: "New password", Type: "password", Autocomplete: "new-password",
			Hint: "At least 8 characters. Longer is better. You are signed out everywhere else."},
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

// saveProfile changes the name and, for who gives the password, the address. A new one is not confirmed; the verify hook mails
// a link to it. The old one, if it was confirmed, gets a mail that says so.
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
		f.refuse(&refusal{Field: "name", Text: fault})
	}
	if u.PasswordHash != "" || r.PostForm.Has("email") {
		if email, ok = normaliseEmail(r.PostFormValue("email")); !ok {
			f.refuse(badEmail)
		}
	}
	if f.Bad() {
		render()
		return
	}
	if email != u.Email {
		if handled, err := s.again(r, u, flowhook.Profile); err != nil {
			s.changed(w, r, &f, render, handled, err)
			return
		}
	}

	fresh := u
	fresh.Name, fresh.Email, fresh.Verified = name, email, u.Verified && email == u.Email
	x.Identity = fresh.identity()
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Profile, func(ctx context.Context) error {
		if err := s.still(ctx, session); err != nil {
			return err
		}
		// The password, if one was asked for, was that of u. Meanwhile it, or the address, may have become another.
		now, err := s.db.userByID(ctx, u.ID)
		if err != nil {
			return err
		}
		if email != now.Email && (email == u.Email || now.PasswordHash != u.PasswordHash) {
			return errMeanwhile
		}
		if email != now.Email {
			if err := s.db.countChange(ctx, u.ID, s.now()); err != nil {
				return err
			}
		}
		saved, err := s.db.updateProfile(ctx, u.ID, name, email)
		x.Identity = saved.identity() // as it is now, whatever was done meanwhile
		if err != nil || saved.Email == now.Email || !now.Verified {
			return err // an address that nobody has confirmed may be somebody else's
		}
		return s.courier.Send(ctx, s.addressMail(now))
	})
	s.changed(w, r, &f, render, handled, err)
}

// savePassword changes the password, and says so by mail, in the same transaction. Where there is none, whatever is given as the current one is wrong.
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
		f.refuse(&refusal{Field: "new", Text: fault})
		render()
		return
	}
	if handled, err := s.again(r, u, flowhook.Password); err != nil {
		s.changed(w, r, &f, render, handled, err)
		return
	}
	hash, err := s.passwords.hash(r.Context(), r.PostFormValue("new"))
	if err != nil {
		s.fail(w, r, err)
		return
	}

	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Password, func(ctx context.Context) error {
		if err := s.still(ctx, session); err != nil {
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
	s.changed(w, r, &f, render, handled, err)
}

// again checks the password that is asked for once more, in the field current. Where it is wrong, the hooks at failed have run.
func (s *service) again(r *http.Request, u user, strategy flowhook.Strategy) (handled bool, err error) {
	match, err := s.passwords.match(r.Context(), r.PostFormValue("current"), u.PasswordHash)
	if err != nil || match {
		return false, err
	}
	return s.refused(r.Context(), exchange(r), flowhook.Settings, strategy, errCurrent), errCurrent
}

// changed answers for a form of the settings: what was refused goes into it, and render shows it.
func (s *service) changed(w http.ResponseWriter, r *http.Request, f *form, render func(), handled bool, err error) {
	var no *refusal
	if !handled && errors.As(err, &no) {
		f.refuse(no)
		render()
		return
	}
	s.settled(w, r, handled, err, "/settings?saved")
}

// confirmAgain mails the link to an unconfirmed address once more. It saves nothing: the verify hook does it all.
func (s *service) confirmAgain(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	if u.Verified { // in another window, meanwhile: no link is on its way
		http.Redirect(w, r, "/settings", http.StatusSeeOther)
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	handled, err := s.complete(r.Context(), confirmAddress, flowhook.FlowWide, nil)
	s.settled(w, r, handled, err, "/settings/sent")
}

func (s *service) confirmationSent(w http.ResponseWriter, r *http.Request) {
	if u, _, ok := s.signedIn(w, r); ok {
		s.pages.render(w, r, http.StatusOK, "sent", page{Title: "A link is on its way", User: &u, Data: "There is at most one a minute."})
	}
}

// settled answers for a handler of somebody who is signed in: what a hook has not answered, and did not fail, leads on.
func (s *service) settled(w http.ResponseWriter, r *http.Request, handled bool, err error, to string) {
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrNoSession): // ended elsewhere, in between
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}
