package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gorilla/securecookie"
	"golang.org/x/oauth2"
)

// An attempt ties a callback to the browser that started the sign-in, and to the provider. It is in
// an encrypted cookie, which the callback deletes. A copy of the cookie could be replayed until it
// expires, but not the provider's code, which works only once.
type attempt struct {
	Provider               string // its key
	State, Nonce, Verifier string
	ReturnTo               string // where the user goes after the sign-in
	Fresh                  bool   // the provider must authenticate the user again
	Link                   link   // of an attempt to connect the provider; zero for a sign-in
}

// A link is what must not have changed when a user comes back who connects a provider.
type link struct {
	Session  string // the handle of the session
	Password string // the mark of the password
}

// passwordMark changes with the password of a user.
func passwordMark(u user) string {
	sum := sha256.Sum256([]byte("mark of a password: " + u.PasswordHash))
	return hex.EncodeToString(sum[:16])
}

const (
	attemptCookie   = "__Host-oidc"
	attemptLifetime = 10 * time.Minute
)

// callbackPath returns the path of a provider's redirect URI. Each provider has its own, so that no
// provider receives the code of another (RFC 9700, 4.4.2).
func callbackPath(key string) string { return "/login/oidc/" + key + "/callback" }

// newCookieCodec returns the codec of the cookies around sign-ins with a provider, which signs and
// encrypts them with keys. keys has 96 bytes and is the same in all copies, because any copy may
// receive the callback.
func newCookieCodec(keys []byte) securecookie.Codec {
	codec := securecookie.New(keys[:64], keys[64:]).MaxAge(int(attemptLifetime / time.Second))
	return codec.SetSerializer(securecookie.JSONEncoder{})
}

// begin starts an attempt at a provider and returns the URL to which the browser must go. If that
// fails, it answers the request and returns false.
func (s *service) begin(w http.ResponseWriter, r *http.Request, p *provider, a attempt) (target string, ok bool) {
	_, config, err := p.discover(r.Context())
	if errors.Is(err, context.Canceled) { // the client has gone
		s.fail(w, r, err)
		return "", false
	}
	if err != nil {
		s.providerDown(w, r, p, err)
		return "", false
	}
	a.Provider, a.State, a.Nonce, a.Verifier = p.Key, rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	value, err := s.codec.Encode(attemptCookie, a)
	if err != nil {
		s.fail(w, r, fmt.Errorf("encrypting the OIDC cookie: %w", err))
		return "", false
	}
	setAttempt(w, value, int(attemptLifetime/time.Second))
	w.Header().Set("Cache-Control", "no-store")
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if a.Fresh {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return config.AuthCodeURL(a.State, options...), true
}

// setAttempt sets the attempt's cookie with SameSite=Lax. Browsers would not send a Strict cookie
// with the redirect from the provider's site.
func setAttempt(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: attemptCookie, Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// errAttempt means that a callback belongs to no attempt of this browser at this provider: it is a
// replay, someone else's link, a callback of another provider, or too late.
var errAttempt = refuse("", "bad_attempt", "This sign-in was not started in this browser, or it took too long. "+
	"Please start again, and allow cookies for this site.")

// callback checks the callback of a provider and returns its claims and its attempt. It deletes the
// attempt's cookie, unless the callback belongs to another attempt.
func (s *service) callback(w http.ResponseWriter, r *http.Request, p *provider) (c claims, a attempt, err error) {
	cookies, query := r.CookiesNamed(attemptCookie), r.URL.Query()
	if len(cookies) != 1 || s.codec.Decode(attemptCookie, cookies[0].Value, &a) != nil || a.Provider != p.Key ||
		a.State == "" || subtle.ConstantTimeCompare([]byte(a.State), []byte(query.Get("state"))) == 0 {
		return claims{}, attempt{ReturnTo: "/"}, errAttempt
	}
	setAttempt(w, "", -1)
	c, err = p.answer(r.Context(), query, a)
	return c, a, err
}
