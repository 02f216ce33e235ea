package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
	"golang.org/x/text/unicode/norm"
)

func registrationForm(name, email string) form {
	return form{Action: "/register", Submit: "Register", Fields: []field{
		{Name: "name", Label: "Name", Type: "text", Autocomplete: "name", Value: name},
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "username", Value: email},
		{Name: "password", Label: "Password", Type: "password", Autocomplete: "new-password",
			Hint: "At least 8 characters. Longer is better."},
	}}
}

// registerPage shows the form. With change in the query, it has what was entered before.
func (s *service) registerPage(w http.ResponseWriter, r *http.Request) {
	if s.visitor(r) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	f := registrationForm("", "")
	if n := noticeOf(r); r.Form.Has("change") && n.Email != "" {
		f = registrationForm(n.Name, n.Email)
		f.Intro = "Correct your email address and choose your password again."
	}
	s.pages.render(w, r, http.StatusOK, "register", page{Title: "Register", Data: f})
}

// registrationAgain shows the form with a refusal.
func (s *service) registrationAgain(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal) {
	f := registrationForm(r.PostFormValue("name"), r.PostFormValue("email"))
	f.refuse(no)
	s.show(w, r, no.Status, "register", page{Title: "Register", Data: f})
}

// register answers the same whether or not the address is taken. An email is sent in both cases:
// with the verification link, or with a note that the account exists. Both cases also hash the
// password, so that they take the same time.
func (s *service) register(w http.ResponseWriter, r *http.Request) {
	u := user{ID: newUserID(), Name: cleanName(r.PostFormValue("name"))}
	password := r.PostFormValue("password")
	f := registrationForm(u.Name, r.PostFormValue("email"))
	if fault := nameFault(u.Name); fault != "" {
		f.refuse(refuse("name", "", fault))
	}
	var ok bool
	if u.Email, ok = normalizeEmail(r.PostFormValue("email")); !ok {
		f.refuse(badAddress(r.PostFormValue("email")))
	}
	if fault := passwordFault(password, u.Name, u.Email); fault != "" {
		f.refuse(refuse("password", "", fault))
	}
	if f.Bad() {
		s.show(w, r, http.StatusUnprocessableEntity, "register", page{Title: "Register", Data: f})
		return
	}
	var err error
	if u.PasswordHash, err = s.passwords.hash(r.Context(), password); err != nil {
		s.fail(w, r, err)
		return
	}

	exchange(r).Identity = u.identity()
	handled, err := s.complete(r.Context(), flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		return s.db.insertUser(ctx, u, s.now())
	})
	if errors.Is(err, errTaken) {
		err = s.notifyOwner(r.Context(), u.Email)
	}
	switch {
	case handled:
	case err != nil:
		s.fail(w, r, err)
	default:
		notice{Name: u.Name, Email: u.Email}.leave(w)
		http.Redirect(w, r, "/register/sent", http.StatusSeeOther)
	}
}

// registerAgain sends the email of a registration again. Like requestRecovery, it answers before it
// looks for the account. So the flow outlasts the request, and has an exchange of its own instead of
// Middleware's.
func (s *service) registerAgain(w http.ResponseWriter, r *http.Request) {
	x := &flowhook.Exchange{Request: r, Writer: w}
	r = r.WithContext(flowhook.NewContext(r.Context(), x))
	handled, err := s.pipeline.Run(r.Context(), confirmAddress, flowhook.Before, flowhook.FlowWide)
	email, ok := normalizeEmail(r.PostFormValue("email"))
	switch {
	case handled:
		return
	case err != nil:
		s.beforeFailed(w, r, err)
		return
	case !ok:
		s.resendAgain(w, r, badAddress(r.PostFormValue("email")))
		return
	}
	x.Request, x.Writer = r.Clone(context.WithoutCancel(r.Context())), discard{http.Header{}}
	if !s.later(w, r, confirmAddress, email, func(ctx context.Context) error {
		return s.sendVerification(flowhook.NewContext(ctx, x), x, email)
	}) {
		return
	}
	n := noticeOf(r)
	n.Email = email
	n.leave(w)
	http.Redirect(w, r, "/register/sent?again", http.StatusSeeOther)
}

// resendAgain shows the form that asked for the email again, with a refusal. Only the form for a code
// has a field that can be wrong.
func (s *service) resendAgain(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal) {
	if s.usesCode(flowhook.Verification) {
		s.askAgain(w, r, verifyTitle, verifyCodeForm(r.PostFormValue("email")), no)
		return
	}
	s.registrationAgain(w, r, no)
}

// sendVerification sends the verification email of an account again, unless one was sent within a
// minute. The owner of a confirmed account gets the same email as after a registration.
func (s *service) sendVerification(ctx context.Context, x *flowhook.Exchange, email string) error {
	u, err := s.db.userByEmail(ctx, email)
	switch {
	case errors.Is(err, errNoUser):
		return nil
	case err != nil:
		return err
	case u.Verified:
		return s.notifyOwner(ctx, email)
	}
	x.Identity = u.identity()
	_, err = s.complete(ctx, confirmAddress, flowhook.FlowWide, nil)
	return err
}

// notifyOwner emails the owner of an address that someone tried to register with it. It uses the
// same queue and the same interval as the verify hook.
func (s *service) notifyOwner(ctx context.Context, email string) error {
	return s.transaction(ctx, "", func(ctx context.Context) error {
		owner, err := s.db.userByEmail(ctx, email)
		if errors.Is(err, errNoUser) {
			return nil // the owner has just changed it
		}
		if err != nil {
			return err
		}
		due, err := s.db.notice(ctx, owner.ID, s.now())
		if err != nil || !due {
			return err
		}
		return s.courier.Send(ctx, s.takenMail(owner))
	})
}

func (s *service) registered(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "sent", page{Title: "Check your email",
		Data: sent{Email: noticeOf(r).Email, Notice: againNotice(r)}})
}

// sent is the data of the pages that say that an email was sent.
type sent struct {
	Email  string // may be empty
	Notice string // shown first; may be empty
}

const nameMax = 100

// cleanName returns a name as it is stored. It is composed (NFC), so that it has the same length
// however it was typed. It has no invisible characters, which come along when a name is pasted, except
// those that join or separate letters, and no white space at its ends or twice in a row.
func cleanName(typed string) string {
	if !utf8.ValidString(typed) {
		return typed
	}
	visible := strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Bidi_Control, c) || strings.ContainsRune("\u00ad\u200b\u2060\ufeff", c) {
			return -1
		}
		return c
	}, norm.NFC.String(typed))
	return strings.Join(strings.Fields(visible), " ")
}

// nameFault returns what is wrong with a clean name, or "" if it is valid.
func nameFault(name string) string {
	switch {
	case !strings.ContainsFunc(name, unicode.IsPrint):
		return "Enter your name."
	case utf8.RuneCountInString(name) > nameMax:
		return "Use at most 100 characters."
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "Use only printable characters."
	}
	return ""
}
