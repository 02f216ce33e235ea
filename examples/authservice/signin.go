package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/flowhook/flowhook"
)

// wrongPassword is the code of a refusal after a password was checked and was wrong.
const wrongPassword = "wrong_password"

// errWrong does not reveal which of the two is wrong.
var errWrong = refuse("", wrongPassword, "Wrong email address or password.")

// signInForm returns the form of the sign-in page. After it, the user goes to what returnTo returned.
// With refresh in the query, the user is signed in already, but too long ago for what they want to do
// in the settings.
func signInForm(r *http.Request, email, returnTo string) form {
	f := form{Action: "/login", Submit: "Sign in", Fields: []field{
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "username", Value: email},
		{Name: "password", Label: "Password", Type: "password", Autocomplete: "current-password"},
	}}
	if returnTo != "/" {
		f.Hidden = append(f.Hidden, hidden{"return_to", returnTo})
	}
	if refreshes(r) {
		f.Hidden = append(f.Hidden, hidden{"refresh", "yes"})
		f.Intro = "For your security, sign in again to continue."
	}
	return f
}

// ReturnTo returns where the user goes after a sign-in with the form, or "" for the start page.
func (f form) ReturnTo() string { return f.value("return_to") }

func refreshes(r *http.Request) bool { return r.Form.Has("refresh") }

func (s *service) home(w http.ResponseWriter, r *http.Request) {
	u, _, err := s.current(r)
	switch {
	case errors.Is(err, flowhook.ErrNoSession):
		s.pages.render(w, r, http.StatusOK, "home", page{Title: "Welcome", Data: s.whySignedOut(r)})
	case err != nil:
		s.fail(w, r, err)
	default:
		s.pages.render(w, r, http.StatusOK, "home", page{Title: "Hello, " + u.Name, User: &u})
	}
}

func (s *service) signInPage(w http.ResponseWriter, r *http.Request) {
	returnTo := s.returnTo(r, flowhook.Password)
	u, email := s.visitor(r), ""
	if u != nil {
		email = u.Email
	}
	if u != nil && !refreshes(r) {
		http.Redirect(w, r, returnTo, http.StatusSeeOther)
		return
	}
	f := signInForm(r, email, returnTo)
	if f.Intro == "" {
		f.Notice = s.whySignedOut(r)
	}
	switch {
	case r.Form.Has("kept"):
		f.Notice = "You were signed out. Sign in to continue; we kept what you entered."
	case r.Form.Has("unsaved"):
		what := "What you entered was not saved."
		if r.Form.Get("return_to") == "/settings/delete" { // a button that was clicked twice
			what = "If you have just deleted your account, it is deleted. Otherwise, nothing was deleted."
		}
		f.Notice = strings.TrimSpace(f.Notice + " " + what)
	}
	s.showSignIn(w, r, http.StatusOK, u, f)
}

// showSignIn shows the sign-in page. u is the user who is signed in already, or nil.
func (s *service) showSignIn(w http.ResponseWriter, r *http.Request, status int, u *user, f form) {
	title := "Sign in"
	if u != nil {
		title = "Sign in again"
	}
	s.pages.render(w, r, status, "login", page{Title: title, User: u, Data: f})
}

func (s *service) signIn(w http.ResponseWriter, r *http.Request) {
	x, email, password := exchange(r), r.PostFormValue("email"), r.PostFormValue("password")
	returnTo := s.returnTo(r, flowhook.Password)
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
			s.signInAgain(w, r, errWrong)
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
		s.signInAgain(w, r, errWrong)
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, returnTo, http.StatusSeeOther)
	}
}

// signInAgain shows the form of the sign-in page with a refusal.
func (s *service) signInAgain(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal) {
	f := signInForm(r, r.PostFormValue("email"), s.returnTo(r, flowhook.Password))
	f.refuse(no)
	if no.Code == wrongPassword {
		f.Suspect = "password"
	}
	s.showSignIn(w, r, no.Status, s.visitor(r), f)
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
		return s.signedOutNow(ctx, x)
	})
	switch {
	case handled:
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}
