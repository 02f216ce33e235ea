package main

import (
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
)

// A user without a password may set one, connect or disconnect providers, and delete the account
// right after signing in with a connected provider again. The session alone is not enough: then
// anyone with access to a signed-in browser could take over the account. Nor is a session that just
// began, because a provider may sign a user in without asking. So the sign-in asks the provider for
// a new authentication, and checks that there was one.

const (
	freshCookie = "__Host-fresh"
	freshFor    = 10 * time.Minute
	// freshSlack is how old the provider's authentication may be when the user comes back.
	freshSlack = 5 * time.Minute
)

// errStale means that the provider signed the user in without asking, or does not say when it asked.
func (p *provider) errStale() *flowhook.Refusal {
	return refuse("", "stale_authentication", "You were not asked to sign in again at "+p.Name+". Set a password "+
		"by email instead.")
}

// A freshness is the content of the cookie, which is signed and encrypted.
type freshness struct {
	Session string // the handle of the session
	Until   time.Time
}

// setFresh records in the browser that the session of x began with a new authentication.
func (s *service) setFresh(x *flowhook.Exchange) error {
	value, err := s.codec.Encode(freshCookie, freshness{handle(x.Session.ID), s.now().Add(freshFor)})
	if err != nil {
		return err
	}
	http.SetCookie(x.Writer, &http.Cookie{Name: freshCookie, Value: value, Path: "/", MaxAge: int(freshFor / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return nil
}

// fresh reports whether the session of a request began with a new authentication at the provider, at
// most freshFor ago.
func (s *service) fresh(r *http.Request, session *flowhook.Session) bool {
	c, err := r.Cookie(freshCookie)
	var f freshness
	return err == nil && s.codec.Decode(freshCookie, c.Value, &f) == nil &&
		f.Session == handle(session.ID) && s.now().Before(f.Until)
}
