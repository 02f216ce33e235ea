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

func profileForm(name, email string) form {
	return form{Action: "/settings/profile", Submit: "Save profile", Fields: []field{
		{Name: "name", Label: "Name", Type: "text", Autocomplete: "name", Value: name, MaxLength: nameMax},
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "email", Value: email, MaxLength: 254,
			Hint: "A new address has to be confirmed again."},
	}}
}

// passwordForm asks who has no password yet for none.
func passwordForm(u user) form {
	f := form{Action: "/settings/password", Submit: "Change password", Fields: []field{
		{Name: "current", Label: "Current password", Type: "password", Autocomplete: "current-password"},
		{Name: "new", Label: "New password", Type: "password", Autocomplete: "new-password",
			Hint: "At least 8 characters. Longer is better. You are signed out everywhere else."},
	}}
	if u.PasswordHash == "" {
		f.Submit, f.Fields = "Set password", f.Fields[1:]
	}
	return f
}

func (s *service) settingsPage(w http.ResponseWriter, r *http.Request) {
	if u, _, ok := s.signedIn(w, r); ok {
		s.renderSettings(w, r, http.StatusOK, u, profileForm(u.Name, u.Email), passwordForm(u))
	}
}

func (s *service) renderSettings(w http.ResponseWriter, r *http.Request, status int, u user, profile, password form) {
	s.pages.render(w, r, status, "settings", page{Title: "Settings", User: &u,
		Data: settings{Saved: r.URL.Query().Has("saved"), Verified: u.Verified, Profile: profile, Password: password}})
}

// saveProfile changes name and address. A new address is not confirmed; the verify hook mails a link to it.
func (s *service) saveProfile(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	name := strings.TrimSpace(r.PostFormValue("name"))
	email, ok := normaliseEmail(r.PostFormValue("email"))
	f := profileForm(name, r.PostFormValue("email"))
	if fault := nameFault(name); fault != "" {
		f.refuse(&refusal{Field: "name", Text: fault})
	}
	if !ok {
		f.refuse(badEmail)
	}
	if f.Bad() {
		s.renderSettings(w, r, http.StatusUnprocessableEntity, u, f, passwordForm(u))
		return
	}

	x := exchange(r)
	fresh := u
	fresh.Name, fresh.Email, fresh.Verified = name, email, u.Verified && email == u.Email
	x.Identity, x.Session = fresh.identity(), session
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Profile, func(ctx context.Context) error {
		if err := s.still(ctx, session); err != nil {
			return err
		}
		saved, err := s.db.updateProfile(ctx, u.ID, name, email)
		x.Identity = saved.identity() // as it is now, whatever was done meanwhile
		return err
	})
	if errors.Is(err, errTaken) {
		f.refuse(errTaken)
		s.renderSettings(w, r, http.StatusUnprocessableEntity, u, f, passwordForm(u))
		return
	}
	s.settled(w, r, handled, err, "/settings?saved")
}

// savePassword changes the password, or sets the first one of who signs in by a provider.
func (s *service) savePassword(w http.ResponseWriter, r *http.Request) {
	u, session, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	f := passwordForm(u)
	refuse := func() {
		s.renderSettings(w, r, http.StatusUnprocessableEntity, u, profileForm(u.Name, u.Email), f)
	}
	if fault := passwordFault(r.PostFormValue("new")); fault != "" {
		f.refuse(&refusal{Field: "new", Text: fault})
		refuse()
		return
	}
	if u.PasswordHash != "" {
		match, err := s.passwords.match(r.Context(), r.PostFormValue("current"), u.PasswordHash)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if !match {
			no := &refusal{"current", "wrong_password", "This is not your current password."}
			if !s.refused(r.Context(), x, flowhook.Settings, flowhook.Password, no) {
				f.refuse(no)
				refuse()
			}
			return
		}
	}
	hash, err := s.passwords.hash(r.Context(), r.PostFormValue("new"))
	if err != nil {
		s.fail(w, r, err)
		return
	}

	changedMeanwhile := &refusal{"", "changed_meanwhile", "Your password was changed elsewhere just now. Nothing was changed here."}
	handled, err := s.complete(r.Context(), flowhook.Settings, flowhook.Password, func(ctx context.Context) error {
		if err := s.still(ctx, session); err != nil {
			return err
		}
		changed, err := s.db.updatePassword(ctx, u.ID, hash, u.PasswordHash)
		if err == nil && !changed {
			return changedMeanwhile
		}
		return err
	})
	if errors.Is(err, changedMeanwhile) {
		f.refuse(changedMeanwhile)
		refuse()
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
	x := exchange(r)
	x.Identity, x.Session = u.identity(), session
	handled, err := s.complete(r.Context(), confirmAddress, flowhook.FlowWide, nil)
	s.settled(w, r, handled, err, "/settings/sent")
}

func (s *service) confirmationSent(w http.ResponseWriter, r *http.Request) {
	if u, _, ok := s.signedIn(w, r); ok {
		s.pages.render(w, r, http.StatusOK, "sent", page{Title: "We have sent you a mail", User: &u})
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
