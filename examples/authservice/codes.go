package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/flowhook/flowhook"
)

// With use: code in auth.yml, emails have a code instead of a link, and the user enters it in a form.

// wrongCode is the code of a refusal after a code was checked and was wrong.
const wrongCode = "wrong_code"

var errCode = refuse("code", wrongCode, "This code is wrong or no longer works. Check it, or request a new one.")

// codeForm returns a form for the address and the code in the email, and for more fields. A second
// button asks the path again for a new code.
func codeForm(action, submit, again, email string, more ...field) form {
	return form{Action: action, Submit: submit, Again: again, Fields: append([]field{
		{Name: "email", Label: "Email address", Type: "email", Autocomplete: "username", Value: email},
		{Name: "code", Label: "Code", Type: "text", Autocomplete: "one-time-code", Hint: "The six digits in the email."},
	}, more...)}
}

// usesCode reports whether the emails of verification or recovery have a code instead of a link, in
// the running auth.yml. flowhook notes that in the findings.
func (s *service) usesCode(flow flowhook.Flow) bool {
	for _, f := range s.pipeline.Plan().Findings() {
		if f.Rule == "code-page" && strings.Contains(f.Path, string(flow)) {
			return true
		}
	}
	return false
}

func (s *service) ask(w http.ResponseWriter, r *http.Request, status int, title string, f form) {
	s.show(w, r, status, "ask", page{Title: title, Data: f})
}

// askAgain is ask for a form that was refused.
func (s *service) askAgain(w http.ResponseWriter, r *http.Request, title string, f form, no *flowhook.Refusal) {
	f.refuse(no)
	s.ask(w, r, no.Status, title, f)
}

// redeemCode redeems the code in the form for an address. An address without an account is treated
// like one with a wrong code, by the same statements.
func (s *service) redeemCode(r *http.Request, purpose flowhook.Purpose, email string,
	confirm func(ctx context.Context, t flowhook.Token) error) error {
	u, err := s.db.userByEmail(r.Context(), email)
	if err != nil && !errors.Is(err, errNoUser) {
		return err
	}
	return s.retry(r.Context(), func() error {
		return s.pipeline.RedeemCode(r.Context(), purpose, u.ID, flowhook.Address{Via: "email", Value: email},
			r.PostFormValue("code"), confirm)
	})
}
