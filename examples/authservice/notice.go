package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// A notice is what a request tells the page that it redirects to. It is in a cookie, so that an
// address is neither in a URL nor in a log. The cookie is not signed: its reader can only fool
// themselves, because no other host can set a __Host- cookie.
type notice struct {
	Name  string `json:",omitempty"` // that was registered
	Email string `json:",omitempty"` // that an email was sent to, if there is an account
	Ended bool   `json:",omitempty"` // another session was ended
	Saved string `json:",omitempty"` // "name" or "password", in the settings

	New     string `json:",omitempty"` // the address to which a link was sent that changes it
	Account string `json:",omitempty"` // the ID of the user whose address that changes

	Connected    string `json:",omitempty"` // the name of a provider
	Disconnected string `json:",omitempty"` // likewise
}

const (
	noticeCookie   = "__Host-notice"
	noticeLifetime = 30 * time.Minute
)

// leave sets the cookie of a notice. The zero notice deletes it.
func (n notice) leave(w http.ResponseWriter) {
	c := http.Cookie{Name: noticeCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if n != (notice{}) {
		data, _ := json.Marshal(n) // strings only
		c.Value, c.MaxAge = base64.RawURLEncoding.EncodeToString(data), int(noticeLifetime/time.Second)
	}
	http.SetCookie(w, &c)
}

// noticeOf returns the notice of a request, or the zero one.
func noticeOf(r *http.Request) (n notice) {
	c, err := r.Cookie(noticeCookie)
	if err != nil {
		return notice{}
	}
	data, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || json.Unmarshal(data, &n) != nil {
		return notice{}
	}
	for _, one := range []*string{&n.Email, &n.New} {
		if email, ok := normalizeEmail(*one); !ok || email != *one {
			*one = ""
		}
	}
	return n
}

// beside returns n with what the notice of a request says about a pending change of the address.
func (n notice) beside(r *http.Request) notice {
	old := noticeOf(r)
	n.New, n.Account = old.New, old.Account
	return n
}

// waiting returns the address that a user has asked for and not confirmed yet, or "".
func (n notice) waiting(u user) string {
	if n.Account != u.ID || n.New == u.Email {
		return ""
	}
	return n.New
}
