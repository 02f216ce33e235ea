package conf

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// Session is how sessions are issued.
type Session struct {
	Lifespan time.Duration
	Cookie
}

// Cookie is the cookie that carries a session's token.
type Cookie struct {
	Name, Domain, Path string
	SameSite           http.SameSite
	Persistent, Secure bool
}

// CookieAt holds where a file sets the attributes of the cookie. An attribute that the file does
// not set is the zero Value.
type CookieAt struct{ Name, Domain, Path, SameSite, Secure Value }

var defaultSession = Session{
	Lifespan: 24 * time.Hour,
	Cookie:   Cookie{Path: "/", SameSite: http.SameSiteLaxMode, Persistent: true, Secure: true},
}

func (l *layout) cookieName(v Value) string {
	return l.word(v, validName, "a name for a cookie", "letters, digits and !#$%&'*+-.^_`~")
}

// cookieDomain reads a domain. Without one, browsers send the cookie to no other host.
func (l *layout) cookieDomain(v Value) string {
	hint := "a host name, without scheme, port or leading dot"
	if isAddress(v.Value) {
		hint = "it is an IP address: leave it out"
	}
	return l.word(v, validDomain, "a domain for a cookie", hint)
}

func (l *layout) cookiePath(v Value) string {
	return l.word(v, validPath, "a path for a cookie", "begin it with /; no semicolon, nothing but ASCII")
}

func (l *layout) sameSite(v Value) http.SameSite {
	valid := func(s string) bool { return sameSites[s] != 0 }
	return sameSites[l.word(v, valid, "a SameSite mode", "Strict, Lax or None")]
}

// checkCookie reports attributes that exclude each other, and names the cookie if the file does
// not.
func (l *layout) checkCookie() {
	s, at := &l.file.Session, l.file.CookieAt
	bare := s.Domain == "" && s.Path == "/" && s.Secure
	prefix := func(p string) bool { return len(s.Name) >= len(p) && strings.EqualFold(s.Name[:len(p)], p) }
	switch {
	case at.Name.Node == nil && bare:
		s.Name = "__Host-session"
	case at.Name.Node == nil:
		s.Name = "session"
	case prefix("__Host-") && !bare:
		l.wrong(at.Name, "choose another name, or remove these",
			"browsers refuse a __Host- cookie with a domain, a path, or secure: false")
	case prefix("__Secure-") && !s.Secure:
		l.wrong(at.Name, "choose another name, or remove secure", "browsers refuse a __Secure- cookie with secure: false")
	}
	if s.SameSite == http.SameSiteNoneMode && !s.Secure {
		l.wrong(at.SameSite, "Lax, or remove secure", "browsers refuse SameSite=None with secure: false")
	}
}

var sameSites = map[string]http.SameSite{
	"Strict": http.SameSiteStrictMode, "Lax": http.SameSiteLaxMode, "None": http.SameSiteNoneMode,
}

const label = `[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`

var (
	hostName  = regexp.MustCompile(`^(` + label + `\.)*` + label + `$`)
	validPath = regexp.MustCompile(`^/[ -:<-~]*$`).MatchString
	// validName accepts a token of RFC 6265 without a bar, which separates the parts of a signed
	// text.
	validName = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+.^_`~-]+$").MatchString
)

// isAddress reports whether s is an IP address, with or without brackets and a port.
func isAddress(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	_, withPort := netip.ParseAddrPort(s)
	return err == nil || withPort == nil
}

// validDomain accepts a host name of RFC 1123, or an empty string. Browsers take a name that ends
// in a number for an IP address.
func validDomain(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	return s == "" || len(s) <= 253 && hostName.MatchString(s) && strings.Trim(last, "0123456789") != ""
}
