package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
)

const verifyTitle = "Confirm your address"

// The reasons why a link that is valid by itself can no longer be used.
var (
	errAddressChanged = fmt.Errorf("%w: the address of the account has changed since", flowhook.ErrBadToken)
	errAddressTaken   = fmt.Errorf("%w: the address belongs to another account", flowhook.ErrBadToken)
)

// verifyPage shows a button. Mail scanners follow links but do not press buttons, so only the POST
// redeems the token. Links that change an address, or undo that, lead here, too. Without a token, it
// shows the form for a code if auth.yml says use: code.
func (s *service) verifyPage(w http.ResponseWriter, r *http.Request) {
	token := linkToken(r)
	switch {
	case token != "":
		s.verifyLink(w, r, token)
	case s.usesCode(flowhook.Verification):
		f := verifyCodeForm(noticeOf(r).Email)
		f.Intro = "Enter the address that you want to confirm, and the code that we sent to it."
		s.ask(w, r, http.StatusOK, verifyTitle, f)
	default:
		s.show(w, r, http.StatusOK, "verify", page{Title: verifyTitle, Data: verification{}})
	}
}

// linkToken returns the token of a link in an email. Mail programs and people take punctuation after
// the link for a part of it.
func linkToken(r *http.Request) string {
	return strings.Trim(r.URL.Query().Get("token"), " \t\r\n.,;:!?'\"()<>[]{}*")
}

// A verification is the data of the page with the button.
type verification struct {
	Token string
	Email string // to confirm
	Owner string // the address of the account, if it is not Email
	Other bool   // somebody else is signed in
	Undo  bool   // the link cancels or undoes a change to another address
}

// verifyLink shows the button of a link. If somebody else is signed in, it names both accounts.
func (s *service) verifyLink(w http.ResponseWriter, r *http.Request, token string) {
	t, err := s.peek(r, s.pipeline.Redeem, token)
	if errors.Is(err, flowhook.ErrBadToken) {
		s.deadLink(w, r, err)
		return
	}
	var owner user
	if err == nil {
		owner, err = s.db.userByID(r.Context(), t.IdentityID)
	}
	if errors.Is(err, errNoUser) {
		s.deadLink(w, r, flowhook.ErrBadToken)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v, replaces := verification{Token: token, Email: t.Address.Value}, t.Address.Value
	if t.Purpose == flowhook.PurposeAddressChange {
		c, err := t.Change()
		v.Undo, replaces = err == nil && c.Undo, c.From.Value
	}
	if !v.Undo && owner.Email != replaces {
		s.deadLink(w, r, errAddressChanged)
		return
	}
	visitor := s.visitor(r)
	v.Other = visitor != nil && visitor.ID != owner.ID
	switch {
	case owner.Email == v.Email:
	case visitor != nil && !v.Other:
		v.Owner = owner.Email
	default: // the reader of the email may be a stranger
		v.Owner = masked(owner.Email)
	}
	title := verifyTitle
	switch {
	case v.Undo:
		title = "Keep your old address"
	case v.Owner != "":
		title = "Confirm your new address"
	}
	s.pages.render(w, r, http.StatusOK, "verify", page{Title: title, User: visitor, Data: v})
}

// masked returns an address that only its owner recognizes, such as a…@example.org.
func masked(email string) string {
	local, domain, _ := strings.Cut(email, "@")
	first, _ := utf8.DecodeRuneInString(local)
	return string(first) + "…@" + domain
}

// errPeek rolls back what peek redeems.
var errPeek = errors.New("the token is only looked at")

// peek returns the token of a link without redeeming it. redeem is Redeem or RedeemRecovery.
func (s *service) peek(r *http.Request, redeem func(ctx context.Context, token string,
	confirm func(ctx context.Context, t flowhook.Token) error) error, token string) (seen flowhook.Token, err error) {
	err = s.retry(r.Context(), func() error {
		return redeem(r.Context(), token, func(_ context.Context, t flowhook.Token) error {
			seen = t
			return errPeek
		})
	})
	if errors.Is(err, errPeek) {
		err = nil
	}
	return seen, err
}

// A deadLink is the data of the page for a link that can no longer be used.
type deadLink struct {
	Reason string
	Used   bool
}

// deadLink answers a link that can no longer be used. Only someone with the mailbox has a valid link,
// and so learns that another account has the address.
func (s *service) deadLink(w http.ResponseWriter, r *http.Request, err error) {
	title, d := deadTitle, deadLink{Reason: deadText}
	switch {
	case errors.Is(err, flowhook.ErrUsedToken):
		title, d = usedTitle, deadLink{"This link works only once. If you just used it, it worked.", true}
	case errors.Is(err, errAddressChanged):
		d.Reason = changedText
	case errors.Is(err, errAddressTaken):
		d.Reason = "Its address belongs to another account."
	}
	s.show(w, r, http.StatusGone, "used", page{Title: title, Data: d})
}

const (
	usedTitle   = "This link was already used"
	deadTitle   = "This link no longer works"
	deadText    = "It has expired, was used, or was not copied completely."
	changedText = "The address of the account has changed since."
)

func verifyCodeForm(email string) form {
	return codeForm("/verify", "Confirm my address", "/register/again", email)
}

// verify redeems a link or, for a form with an address, a code.
func (s *service) verify(w http.ResponseWriter, r *http.Request) {
	if r.PostForm.Has("email") && s.usesCode(flowhook.Verification) {
		s.verifyByCode(w, r)
		return
	}
	x, undone := exchange(r), false
	handled, err := s.complete(r.Context(), flowhook.Verification, flowhook.Link, func(ctx context.Context) error {
		return s.pipeline.Redeem(ctx, r.PostFormValue("token"), func(ctx context.Context, t flowhook.Token) (err error) {
			if t.Purpose == flowhook.PurposeAddressChange {
				undone, err = s.changeAddress(ctx, t)
			} else {
				undone, err = false, s.confirm(ctx, t)
			}
			if err != nil {
				return err
			}
			u, err := s.db.userByID(ctx, t.IdentityID)
			x.Identity = u.identity()
			return err
		})
	})
	switch {
	case handled:
	case errors.Is(err, flowhook.ErrBadToken):
		s.deadLink(w, r, err)
	case err != nil:
		s.fail(w, r, err)
	case undone:
		http.Redirect(w, r, "/recovery?undone", http.StatusSeeOther)
	default:
		notice{Email: x.Identity.Addresses[0].Value}.leave(w)
		http.Redirect(w, r, "/verify/done", http.StatusSeeOther)
	}
}

// verifyByCode confirms an address with a code. Like recoverByCode, it redeems the code before
// Complete.
func (s *service) verifyByCode(w http.ResponseWriter, r *http.Request) {
	x, typed := exchange(r), r.PostFormValue("email")
	email, ok := normalizeEmail(typed)
	if !ok {
		s.askAgain(w, r, verifyTitle, verifyCodeForm(typed), badAddress(typed))
		return
	}
	err := s.redeemCode(r, flowhook.PurposeVerification, email, func(ctx context.Context, t flowhook.Token) error {
		if err := s.confirm(ctx, t); err != nil {
			return err
		}
		u, err := s.db.userByID(ctx, t.IdentityID)
		x.Identity = u.identity()
		return err
	})
	if errors.Is(err, flowhook.ErrBadToken) {
		if !s.runFailed(r.Context(), x, flowhook.Verification, flowhook.Code, errCode) {
			s.askAgain(w, r, verifyTitle, verifyCodeForm(typed), errCode)
		}
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	handled, err := s.complete(r.Context(), flowhook.Verification, flowhook.Code, func(context.Context) error {
		notice{Email: email}.leave(x.Writer)
		return nil
	})
	s.finish(w, r, handled, err, "/verify/done")
}

// confirm marks the address of a token as confirmed, in the transaction of ctx.
func (s *service) confirm(ctx context.Context, t flowhook.Token) error {
	confirmed, err := s.db.confirmEmail(ctx, t.IdentityID, t.Address.Value, s.now())
	if err == nil && !confirmed {
		return errAddressChanged // the token stays unused
	}
	return err
}

func (s *service) verified(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "verified", page{Title: "Your address is confirmed", Data: noticeOf(r).Email})
}

// maintenance is the target of the redirect in auth.yml. Its status is 503, so that no program
// mistakes it for the page it requested.
func (s *service) maintenance(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "300")
	s.show(w, r, http.StatusServiceUnavailable, "maintenance", page{Title: "Down for maintenance"})
}
