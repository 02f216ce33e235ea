package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
)

// wrongPassword is the code of a refusal after a password was checked and was wrong.
const wrongPassword = "wrong_password"

// errWrong does not reveal which of the two is wrong.
var errWrong = refuse("", wrongPassword, "Wrong email address or password.")

// signInForm returns the form of the sign-in page. With refresh in the query, the user is signed in
// already, but too long ago for what they want to do in the settings.
func signInForm(r *http.Request, email string) form {
	f := form{Action: "/login", Submit: "Sign in", Fields: []field{
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "username", Value: email, MaxLength: 254},
		{Name: "password", Label: "Password", Type: "password", Autocomplete: "current-password"},
	}}
	if refreshes(r) {
		f.Action, f.Intro = "/login?refresh", "To change your address, please sign in again. Nothing was changed yet."
	}
	return f
}

func refreshes(r *http.Request) bool { return r.URL.Query().Has("refresh") }

func (s *service) home(w http.ResponseWriter, r *http.Request) {
	u, _, err := s.current(r)
	switch {
	case errors.Is(err, flowhook.ErrNoSession):
		s.pages.render(w, r, http.StatusOK, "home", page{Title: "Welcome"})
	case err != nil:
		s.fail(w, r, err)
	default:
		s.pages.render(w, r, http.StatusOK, "home", page{Title: "Hello, " + u.Name, User: &u})
	}
}

func (s *service) signInPage(w http.ResponseWriter, r *http.Request) {
	if !refreshes(r) && s.visitor(r) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.pages.render(w, r, http.StatusOK, "login", page{Title: "Sign in", Data: signInForm(r, "")})
}

func (s *service) signIn(w http.ResponseWriter, r *http.Request) {
	x, email, password := exchange(r), r.PostFormValue("email"), r.PostFormValue("password")
	u, err := user{}, errNoUser
	if normal, ok := normalizeEmail(email); ok {
		u, err = s.db.userByEmail(r.Context(), normal)
	}
	if err != nil && !errors.Is(err, errNoUser) {
		s.fail(w, r, err)
		return
	}
	ok, err := s.passwords.match(r.Context(), password, u.PasswordHash)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if u.ID != "" {
		x.Identity = u.identity()
	}
	if !ok {
		if !s.runFailed(r.Context(), x, flowhook.Login, flowhook.Password, errWrong) {
			s.wrong(w, r, email)
		}
		return
	}

	handled, err := s.complete(r.Context(), flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		// Changing the password ends all other sessions. A login with the old password must not
		// slip through meanwhile.
		now, err := s.db.userByID(ctx, u.ID)
		if errors.Is(err, errNoUser) || err == nil && now.PasswordHash != u.PasswordHash {
			return errWrong
		}
		if err != nil {
			return err
		}
		return s.issue(ctx, x)
	})
	switch {
	case handled:
	case errors.Is(err, errWrong):
		s.wrong(w, r, email)
	case err != nil:
		s.fail(w, r, err)
	case refreshes(r):
		http.Redirect(w, r, "/settings", http.StatusSeeOther)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (s *service) wrong(w http.ResponseWriter, r *http.Request, email string) {
	f := signInForm(r, email)
	f.refuse(errWrong)
	s.show(w, r, http.StatusUnprocessableEntity, "login", page{Title: "Sign in", Data: f})
}

// signOut ends the current session. It succeeds without one, too.
func (s *service) signOut(w http.ResponseWriter, r *http.Request) {
	x := exchange(r)
	u, session, err := s.current(r)
	if err == nil {
		x.Identity, x.Session = u.identity(), session
	} else if !errors.Is(err, flowhook.ErrNoSession) {
		s.fail(w, r, err)
		return
	}
	handled, err := s.complete(r.Context(), flowhook.Logout, flowhook.FlowWide, func(ctx context.Context) error {
		return s.pipeline.Sessions().End(ctx, x)
	})
	switch {
	case handled:
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}
