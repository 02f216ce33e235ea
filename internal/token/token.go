// Package token signs session IDs and carries them in cookies.
package token

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
)

// A Carrier signs IDs to tokens, and finds the IDs in requests. It is safe for concurrent use.
type Carrier struct {
	name   string               // of the cookie
	codecs []securecookie.Codec // the first signs, all verify
	live   string               // the attributes that follow the token in Set-Cookie
	gone   string               // the attributes that delete the cookie
}

// New returns a carrier whose cookies have the name and the attributes of c. If c has no lifetime,
// they last until the browser is closed. A token is valid only under the name that it was signed
// for. The first secret signs, and all secrets verify. The caller has checked the secrets.
func New(c http.Cookie, secrets []string) (*Carrier, error) {
	s := &Carrier{name: c.Name}
	_, s.live, _ = strings.Cut(c.String(), "=")
	c.MaxAge, c.Expires = -1, time.Unix(1, 0)
	_, s.gone, _ = strings.Cut(c.String(), "=")
	for _, secret := range secrets {
		// securecookie recommends a key as long as the hash's block. A secret may be shorter.
		key, err := hkdf.Key(sha256.New, []byte(secret), nil, "flowhook session token", sha256.BlockSize)
		if err != nil {
			return nil, fmt.Errorf("expanding a session secret: %w", err)
		}
		// MaxAge(0) means no limit: the store decides when a session ends.
		s.codecs = append(s.codecs, securecookie.New(key, nil).SetSerializer(securecookie.NopEncoder{}).MaxAge(0))
	}
	return s, nil
}

// Sign returns a token for an ID.
func (s *Carrier) Sign(id string) (string, error) { return s.codecs[0].Encode(s.name, []byte(id)) }

// These are the limits on the cookies of one request. A browser sends several with the same name if
// the domain or path of the cookie has changed, or if another host of the site uses the name.
const (
	// MaxIDs is the number of genuine IDs that FromRequest accepts. Each may cost a query.
	MaxIDs = 8

	// maxVerified is the number of cookies that FromRequest verifies. Each costs an HMAC per
	// secret.
	maxVerified = 64
)

var (
	errTooManyIDs     = fmt.Errorf("the request has more than %d genuine session cookies; %s", MaxIDs, tooMany)
	errTooManyCookies = fmt.Errorf("the request has more than %d cookies with the session cookie's name; %s",
		maxVerified, tooMany)
)

const tooMany = "delete this site's cookies in the browser, or change session.cookie.name"

// FromRequest appends the IDs of the request's genuine cookies to ids, each ID once, in the order
// of the cookies. It skips cookies that are not genuine. It returns an error and no IDs if there
// are more than MaxIDs IDs, or too many cookies to verify.
func (s *Carrier) FromRequest(r *http.Request, ids []string) ([]string, error) {
	verified := 0
	for _, c := range r.CookiesNamed(s.name) {
		if c.Quoted || !plausible(c.Value) {
			continue
		}
		if verified++; verified > maxVerified {
			return nil, errTooManyCookies
		}
		id, ok := s.Verify(c.Value)
		if !ok || slices.Contains(ids, id) {
			continue
		}
		if len(ids) == MaxIDs {
			return nil, errTooManyIDs
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Set sets the cookie.
func (s *Carrier) Set(h http.Header, token string) { s.set(h, token, s.live) }

// TakeBack makes the browser delete the cookie.
func (s *Carrier) TakeBack(h http.Header) { s.set(h, "", s.gone) }

// set sets the cookie. It replaces an earlier one of the same name: RFC 6265, section 4.1.1, allows
// only one per response.
func (s *Carrier) set(h http.Header, token, attributes string) {
	lines := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return name == s.name
	})
	h["Set-Cookie"] = append(lines, s.name+"="+token+attributes)
}

// Verify returns the ID of a token. ok reports whether one of the secrets signed the token.
func (s *Carrier) Verify(token string) (id string, ok bool) {
	if !plausible(token) {
		return "", false
	}
	var b []byte
	for _, c := range s.codecs {
		if c.Decode(s.name, token, &b) == nil {
			return string(b), true
		}
	}
	return "", false
}

// minLength is the length of a token that has nothing but a signature.
var minLength = base64.URLEncoding.EncodedLen(sha256.Size)

// plausible reports whether a token is long enough to have a signature and is the canonical base64
// of its bytes. The decoder would also accept line breaks anywhere, and any bits after the last
// byte.
func plausible(token string) bool {
	if len(token) < minLength || len(token)%4 != 0 || strings.ContainsAny(token, "\r\n") {
		return false
	}
	var last [3]byte
	_, err := base64.URLEncoding.Strict().Decode(last[:], []byte(token[len(token)-4:]))
	return err == nil
}
