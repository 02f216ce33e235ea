package main

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/flowhook/flowhook"
)

// settings is the data of the settings page.
type settings struct {
	Notice                        notice      // what was just saved
	Waiting                       string      // the new address, until it is confirmed
	Methods                       []method    // providers
	Problem                       string      // with a provider whose form is not shown
	Again                         []*provider // with which a user without a password can sign in again
	Stale                         bool        // the sign-in was too long ago for what the user wanted
	First                         bool        // Password sets the first one
	Deletable                     bool        // Delete is a form
	Name, Email, Password, Delete form
}

// settingsStale is the settings page after a form that needs a new sign-in with the provider.
const settingsStale = "/settings?stale"

// Bad reports whether one of the forms has an error.
func (s settings) Bad() bool {
	bad := func(m method) bool { return m.Form != nil && m.Form.Bad() }
	return s.Problem != "" || s.Name.Bad() || s.Email.Bad() || s.Password.Bad() || s.Delete.Bad() ||
		slices.ContainsFunc(s.Methods, bad)
}

// forms returns the forms of the page.
func (s *settings) forms() []*form {
	forms := []*form{&s.Name, &s.Email, &s.Password, &s.Delete}
	for _, m := range s.Methods {
		if m.Form != nil {
			forms = append(forms, m.Form)
		}
	}
	return forms
}

// form returns the form with an action, or nil if the page does not have it.
func (s *settings) form(action string) *form {
	for _, f := range s.forms() {
		if f.Action == action {
			return f
		}
	}
	return nil
}

func (s *service) settingsPage(w http.ResponseWriter, r *http.Request) {
	u, _, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	var shown []form
	if f, ok := s.keptForm(w, r, u); ok {
		shown = append(shown, f)
	}
	s.renderSettings(w, r, http.StatusOK, u, shown...)
}

// settings returns the data of the settings page for a user.
func (s *service) settings(r *http.Request, u user) (data settings, err error) {
	fresh := u.PasswordHash == ""
	if fresh {
		session, err := s.pipeline.Sessions().FromRequest(r)
		if err != nil {
			return settings{}, err
		}
		fresh = s.fresh(r, session)
	}
	data = settings{Waiting: noticeOf(r).waiting(u), Stale: r.Form.Has("stale") && u.PasswordHash == "" && !fresh,
		Name: nameForm(u.Name), Email: emailForm(""), Password: passwordForm(), Delete: form{Action: "/settings/delete"}}
	if fresh {
		data.Password = firstPasswordForm()
	}
	if fresh || u.PasswordHash != "" {
		data.Delete = deleteForm(u)
	}
	data.Methods, err = s.methods(r.Context(), u, fresh)
	for _, m := range data.Methods {
		if m.known != nil && m.Connected() {
			data.Again = append(data.Again, m.known)
		}
	}
	return data, err
}

// renderSettings shows the settings page. Each of shown replaces the form with its Action.
func (s *service) renderSettings(w http.ResponseWriter, r *http.Request, status int, u user, shown ...form) {
	data, err := s.settings(r, u)
	if err != nil {
		s.finish(w, r, false, err, "")
		return
	}
	for _, f := range shown {
		*data.form(f.Action) = f
	}
	if n := noticeOf(r); status == http.StatusOK && n.Saved+n.Connected+n.Disconnected != "" { // it is shown once
		data.Notice = n
		notice{}.beside(r).leave(w)
	}
	s.showSettings(w, r, status, u, data)
}

func (s *service) showSettings(w http.ResponseWriter, r *http.Request, status int, u user, data settings) {
	for _, f := range data.forms() {
		f.Hidden = append(f.Hidden, hidden{accountField, u.ID})
	}
	data.First = len(data.Password.Fields) == 1 // without the current one
	data.Deletable = len(data.Delete.Fields) > 0
	s.pages.render(w, r, status, "settings", page{Title: "Settings", User: &u, Data: data})
}

// settingsAgain shows the settings page after the form with an action was refused, with what was
// typed.
func (s *service) settingsAgain(w http.ResponseWriter, r *http.Request, u user, action string,
	no ...*flowhook.Refusal) {
	data, err := s.settings(r, u)
	if err != nil {
		s.finish(w, r, false, err, "")
		return
	}
	f := data.form(action)
	switch {
	case action == "/settings/profile":
		*f = nameForm(r.PostFormValue("name"))
	case action == "/settings/email":
		*f = emailForm(r.PostFormValue("email"))
	case action == "/settings/password" && !r.PostForm.Has("current"):
		*f = firstPasswordForm()
	case action == "/settings/delete":
		*f = deleteForm(u)
	}
	for _, one := range no {
		if f == nil { // the form of a provider that the page does not offer
			data.Problem = one.Text
		} else {
			f.refuse(one)
		}
	}
	s.showSettings(w, r, cmp.Or(no[0].Status, http.StatusForbidden), u, data)
}
