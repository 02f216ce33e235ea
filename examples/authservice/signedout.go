package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// The cookie signed_in tells the sign-in page why a user is no longer signed in. It does not sign
// anyone in: it has only the times at which the session began and will expire. A browser that drops
// the session's cookie must keep this one, so over http it is not Secure.
const (
	signedInCookie   = "signed_in"
	signedInLifetime = 30 * 24 * time.Hour // a user who was away longer expects to sign in
)

// signedInNow records the new session x.Session: in the list of sessions, in the transaction of
// ctx, in the browser, and for the request line of the log.
func (s *service) signedInNow(ctx context.Context, x *flowhook.Exchange) error {
	value := strconv.FormatInt(x.Session.IssuedAt.Unix(), 10) + "." + strconv.FormatInt(x.Session.ExpiresAt.Unix(), 10)
	setUser(x.Request.Context(), x.Session.IdentityID)
	s.setSignedIn(x.Writer, value, int(signedInLifetime/time.Second))
	return s.db.insertSignIn(ctx, *x.Session, client(x.Request))
}

// signedOutNow ends the session of x, in the transaction of ctx, and removes what the browser knows
// about it.
func (s *service) signedOutNow(ctx context.Context, x *flowhook.Exchange) error {
	s.setSignedIn(x.Writer, "", -1)
	notice{}.leave(x.Writer)
	return s.pipeline.Sessions().End(ctx, x)
}

func (s *service) setSignedIn(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: signedInCookie, Value: value, Path: "/", MaxAge: maxAge,
		Secure: s.https(), HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func (s *service) https() bool { return strings.HasPrefix(s.config.PublicURL, "https://") }

// whySignedOut returns why the browser of a request without a session is no longer signed in, or ""
// if it was not or the user has signed out there.
func (s *service) whySignedOut(r *http.Request) string {
	c, err := r.Cookie(signedInCookie)
	if from, _ := url.Parse(r.Referer()); len(r.Cookies()) == 0 && from != nil && from.Path == "/login" {
		return "If you have just signed in, your browser did not keep the cookie for that. Allow cookies for this site, " +
			"and sign in again."
	}
	if err != nil {
		return ""
	}
	began, end, _ := strings.Cut(c.Value, ".")
	from, err1 := strconv.ParseInt(began, 10, 64)
	until, err2 := strconv.ParseInt(end, 10, 64)
	kept := slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "session") })
	dropped := !s.https() && !kept && s.now().Before(time.Unix(from, 0).Add(time.Minute))
	switch {
	case err1 != nil || err2 != nil:
		return ""
	case dropped:
		return "You signed in, but your browser did not keep the session cookie. Safari refuses Secure cookies on http, " +
			"even on this machine. For development, set session.cookie.secure: false in auth.yml, or use another browser."
	case !s.now().Before(time.Unix(until, 0)):
		return "You were signed out because your session expired. Please sign in again."
	}
	return "You were signed out from another browser, or because your password or address changed. Please sign in again."
}

// toSignIn redirects to the sign-in page, from which the user comes back to the page of the
// request. What a form would have changed is not saved, but it may be kept.
func (s *service) toSignIn(w http.ResponseWriter, r *http.Request) {
	q := url.Values{"return_to": {r.URL.Path}}
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
	case s.keep(w, r):
		q.Set("kept", "")
	default:
		q.Set("unsaved", "")
	}
	http.Redirect(w, r, "/login?"+q.Encode(), http.StatusSeeOther)
}

// returnTo returns where to go after a sign-in: the request's return_to if auth.yml allows it, or
// else the start page.
func (s *service) returnTo(r *http.Request, strategy flowhook.Strategy) string {
	to, err := s.pipeline.ReturnURL(r, flowhook.Login, strategy)
	if err != nil { // not allowed, or there is no default
		return "/"
	}
	return to
}
