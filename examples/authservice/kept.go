package main

import (
	"net/http"
	"time"

	"github.com/gorilla/securecookie"
)

// A user may send a form of the settings after the session has ended. The browser keeps what was
// typed, except passwords, in an encrypted cookie until the user has signed in again. So that no
// one else who signs in there sees it, the form has the account's ID: the session is gone.

const (
	keptCookie   = "__Host-kept"
	keptLifetime = 10 * time.Minute
	keptMax      = 4 * nameMax // bytes
)

// keptFields are the fields that are kept, by the Action of their form.
var keptFields = map[string]string{"/settings/profile": "name", "/settings/email": "email"}

// A kept is the content of the cookie.
type kept struct {
	Account string // the user's ID
	Action  string // of the form
	Value   string // of its field
	Until   time.Time
}

// newKeptCodec returns what encrypts the cookie. keys has 96 bytes and is the same in all copies.
func newKeptCodec(keys []byte) securecookie.Codec {
	codec := securecookie.New(keys[:64], keys[64:]).MaxAge(0) // the cookie has its own limit
	return codec.SetSerializer(securecookie.JSONEncoder{})
}

// keep makes the browser keep what was typed into the form that r has sent, and reports whether it
// does: the form must be one that is kept, have its account, and not be too long.
func (s *service) keep(w http.ResponseWriter, r *http.Request) bool {
	name, ok := keptFields[r.URL.Path]
	if !ok || r.Method != http.MethodPost {
		return false
	}
	k := kept{r.PostFormValue(accountField), r.URL.Path, r.PostFormValue(name), s.now().Add(keptLifetime)}
	if k.Account == "" || len(k.Value) > keptMax {
		return false
	}
	value, err := s.kept.Encode(keptCookie, k)
	if err != nil { // too long for a cookie
		return false
	}
	setKept(w, value, int(keptLifetime/time.Second))
	return true
}

// keptForm returns the form that the browser has kept for u, if there is one. It is shown once:
// keptForm deletes the cookie.
func (s *service) keptForm(w http.ResponseWriter, r *http.Request, u user) (f form, ok bool) {
	c, err := r.Cookie(keptCookie)
	if err != nil {
		return form{}, false
	}
	setKept(w, "", -1)
	var k kept
	if s.kept.Decode(keptCookie, c.Value, &k) != nil || k.Account != u.ID || !s.now().Before(k.Until) {
		return form{}, false
	}
	f = nameForm(k.Value)
	if k.Action == "/settings/email" {
		f = emailForm(k.Value)
	}
	f.Notice = "We kept what you typed. Nothing was saved yet."
	return f, true
}

func setKept(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: keptCookie, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
