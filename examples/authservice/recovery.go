package main

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/flowhook/flowhook"
)

// A user who has forgotten the password gets an email with a link or, with flows.recovery.use:
// code in auth.yml, with a code, and chooses a new password. Users of a provider get a password
// that way, too. What a visitor sees never depends on whether there is an account.

func recoveryForm(email string) form {
	return form{Action: "/recovery", Submit: "Send the email", Fields: []field{
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "username", Value: email},
	}}
}

var newPasswordField = field{Name: "new", Label: "New password", Type: "password", Autocomplete: "new-password",
	Hint: "At least 8 characters. Longer is better. You will be signed out everywhere else."}

// newPasswordForm returns the form that the link in the email leads to. email is the account's, or
// empty.
func newPasswordForm(token, email string) form {
	f := form{Action: "/recovery/new", Submit: "Set the password", Hidden: []hidden{{"token", token}},
		Fields: []field{newPasswordField}}
	if email != "" {
		f.Intro = "This sets the password of " + email + "."
	}
	return f
}

func recoveryCodeForm(email string) form {
	return codeForm("/recovery/code", "Set the password", "/recovery", email, newPasswordField)
}

const (
	recoveryTitle    = "Reset your password"
	newPasswordTitle = "Choose a new password"
	undoneText       = "This is your address again, and everyone is signed out. The old password no longer works, " +
		"because someone else may know it. All sign-in providers were disconnected. Enter your address to choose a new password."
	recoveryText = "Enter the email address of your account. If there is one, you will get an email that lets you " +
		"choose a new password."
)

func (s *service) recoveryPage(w http.ResponseWriter, r *http.Request) {
	f := recoveryForm("")
	f.Intro = recoveryText
	if r.URL.Query().Has("undone") {
		f.Intro = undoneText
	}
	s.ask(w, r, http.StatusOK, recoveryTitle, f)
}

// requestRecovery answers before it looks for the account, so that neither the answer nor its time
// reveals whether there is one. Each request counts for rate_limit and is audited.
func (s *service) requestRecovery(w http.ResponseWriter, r *http.Request) {
	email, ok := normalizeEmail(r.PostFormValue("email"))
	if !ok {
		f := recoveryForm(r.PostFormValue("email"))
		f.Intro = recoveryText
		s.askAgain(w, r, recoveryTitle, f, badAddress(r.PostFormValue("email")))
		return
	}
	if !s.later(w, r, flowhook.Recovery, email, func(ctx context.Context) error { return s.sendRecovery(ctx, email) }) {
		return
	}
	notice{Email: email}.leave(w)
	to := "/recovery/sent"
	if s.usesCode(flowhook.Recovery) {
		to = "/recovery/code"
	}
	if r.PostForm.Has("again") {
		to += "?again"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// sendRecovery sends the email for an address, if it has an account.
func (s *service) sendRecovery(ctx context.Context, email string) error {
	u, err := s.db.userByEmail(ctx, email)
	if errors.Is(err, errNoUser) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.pipeline.SendRecovery(ctx, &flowhook.Exchange{Identity: u.identity()})
}

// againNotice returns what is shown first after a user has asked for an email once more.
func againNotice(r *http.Request) string {
	if !r.Form.Has("again") {
		return ""
	}
	return "We'll send it again. We send at most one email per minute."
}

func (s *service) recoverySent(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "sentrecovery", page{Title: "Check your email", Data: sent{Email: noticeOf(r).Email,
		Notice: againNotice(r)}})
}

// newPasswordPage shows the form that the link in the email leads to.
func (s *service) newPasswordPage(w http.ResponseWriter, r *http.Request) {
	token := linkToken(r)
	if token == "" {
		s.show(w, r, http.StatusOK, "usedrecovery", page{Title: newPasswordTitle,
			Data: deadLink{Reason: "This link is incomplete. Open the link in the email, or copy all of it."}})
		return
	}
	t, err := s.peek(r, s.pipeline.RedeemRecovery, token)
	var owner user
	if err == nil {
		owner, err = s.db.userByID(r.Context(), t.IdentityID)
	}
	switch {
	case errors.Is(err, errNoUser):
		err = flowhook.ErrBadToken
	case err == nil && owner.Email != t.Address.Value:
		err = errAddressChanged
	}
	switch {
	case errors.Is(err, flowhook.ErrBadToken):
		s.deadRecovery(w, r, err)
	case err != nil:
		s.fail(w, r, err)
	default:
		s.ask(w, r, http.StatusOK, newPasswordTitle, newPasswordForm(token, t.Address.Value))
	}
}

// deadRecovery answers a link that can no longer be used.
func (s *service) deadRecovery(w http.ResponseWriter, r *http.Request, err error) {
	p := page{Title: deadTitle, Data: deadLink{Reason: deadText}}
	switch {
	case errors.Is(err, flowhook.ErrUsedToken):
		p = page{Title: usedTitle,
			Data: deadLink{"This link works only once. If you just set a new password with it, you can sign in.", true}}
	case errors.Is(err, errAddressChanged):
		p.Data = deadLink{Reason: changedText}
	}
	s.show(w, r, http.StatusGone, "usedrecovery", p)
}

// recoverByLink sets the new password of a user with a link. revoke_active_sessions and session in
// auth.yml are part of the same transaction.
func (s *service) recoverByLink(w http.ResponseWriter, r *http.Request) {
	x, token := exchange(r), r.PostFormValue("token")
	if fault := passwordFault(r.PostFormValue("new")); fault != "" {
		s.askAgain(w, r, newPasswordTitle, newPasswordForm(token, ""), refuse("new", "", fault))
		return
	}
	hash, err := s.passwords.hash(r.Context(), r.PostFormValue("new"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	handled, err := s.complete(r.Context(), flowhook.Recovery, flowhook.Link, func(ctx context.Context) error {
		return s.pipeline.RedeemRecovery(ctx, token, func(ctx context.Context, t flowhook.Token) error {
			u, err := s.recoverAccount(ctx, t, r.PostFormValue("new"), hash)
			if err == nil {
				x.Identity = u.identity()
			}
			return err
		})
	})
	var no *flowhook.Refusal
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrBadToken):
		s.deadRecovery(w, r, err)
	case errors.As(err, &no) && no.Field == "new":
		s.askAgain(w, r, newPasswordTitle, newPasswordForm(token, ""), no)
	default:
		s.finish(w, r, handled, err, "/recovery/done")
	}
}

func (s *service) codePage(w http.ResponseWriter, r *http.Request) {
	f := recoveryCodeForm(noticeOf(r).Email)
	f.Intro = "If there is an account with the address, we have sent a code to it. It may take a minute to arrive; " +
		"check your spam folder, too."
	f.Notice = againNotice(r)
	s.ask(w, r, http.StatusOK, newPasswordTitle, f)
}

// recoverByCode is recoverByLink for a code. flowhook counts wrong codes, in a transaction of its
// own that a failure must not roll back. So RedeemCode comes before Complete, and everything that
// the code is for happens in it; Complete signs the user in.
func (s *service) recoverByCode(w http.ResponseWriter, r *http.Request) {
	x, typed := exchange(r), r.PostFormValue("email")
	f := recoveryCodeForm(typed)
	email, ok := normalizeEmail(typed)
	if !ok {
		f.refuse(badAddress(typed))
	}
	if fault := passwordFault(r.PostFormValue("new")); fault != "" {
		f.refuse(refuse("new", "", fault))
	}
	if f.Bad() {
		s.ask(w, r, http.StatusUnprocessableEntity, newPasswordTitle, f)
		return
	}
	hash, err := s.passwords.hash(r.Context(), r.PostFormValue("new"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	err = s.redeemCode(r, flowhook.PurposeRecovery, email, func(ctx context.Context, t flowhook.Token) error {
		u, err := s.recoverAccount(ctx, t, r.PostFormValue("new"), hash)
		if err == nil {
			x.Identity = u.identity()
		}
		return err
	})
	if errors.Is(err, flowhook.ErrBadToken) {
		if !s.runFailed(r.Context(), x, flowhook.Recovery, flowhook.Code, errCode) {
			s.askAgain(w, r, newPasswordTitle, f, errCode)
		}
		return
	}
	var no *flowhook.Refusal
	if errors.As(err, &no) && no.Field == "new" {
		s.askAgain(w, r, newPasswordTitle, f, no)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	handled, err := s.complete(r.Context(), flowhook.Recovery, flowhook.Code, nil)
	s.finish(w, r, handled, err, "/recovery/done")
}

// recoverAccount gives the user of a recovery token the new password, in the transaction of ctx. If
// that is the user's name or address, it returns a refusal of the field new, and the token stays
// valid.
//
// The user has the mailbox, so the address is confirmed. If it was not before, the account may be
// that of somebody else. All sessions end here, because with a code no hook runs in this
// transaction.
func (s *service) recoverAccount(ctx context.Context, t flowhook.Token, password, hash string) (user, error) {
	u, err := s.db.userByID(ctx, t.IdentityID)
	switch {
	case errors.Is(err, errNoUser):
		return user{}, flowhook.ErrBadToken
	case err == nil && u.Email != t.Address.Value:
		return user{}, errAddressChanged
	case err != nil:
		return user{}, err
	}
	if fault := passwordFault(password, u.Name, u.Email); fault != "" {
		return user{}, refuse("new", "weak_password", fault)
	}
	if !u.Verified {
		if err := s.takeOver(ctx, u); err != nil {
			return user{}, err
		}
	}
	u.PasswordHash, u.Verified = hash, true
	if err := s.db.recoverUser(ctx, u, s.now()); err != nil {
		return user{}, err
	}
	if err := s.store.DeleteSessions(ctx, u.ID, ""); err != nil {
		return user{}, err
	}
	return u, s.courier.Send(ctx, s.passwordMail(u))
}

// recovered says that the password is changed. It names the connected providers, because someone
// who knew the old password may have connected one.
func (s *service) recovered(w http.ResponseWriter, r *http.Request) {
	var connected []method
	u := s.visitor(r)
	if u != nil {
		all, err := s.methods(r.Context(), *u, false)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		connected = slices.DeleteFunc(all, func(m method) bool { return !m.Connected() })
	}
	s.pages.render(w, r, http.StatusOK, "recovered", page{Title: "Your password is changed", User: u, Data: connected})
}
