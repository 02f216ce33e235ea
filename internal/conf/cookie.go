package conf

import (
	"net/http"
	"regexp"
	"strings"
)

var sameSites = map[string]http.SameSite{
	"Strict": http.SameSiteStrictMode, "Lax": http.SameSiteLaxMode, "None": http.SameSiteNoneMode,
}

// word gives a string that is valid, or "".
func (l *layout) word(v value, valid func(string) bool, what, hint string) string {
	s, ok := l.text(v, "a string")
	if ok && !valid(s) {
		l.wrong(v, hint, "not %s", what)
		return ""
	}
	return s
}

func (l *layout) flag(v value, on *bool) {
	if l.is(v, "true or false") {
		*on = strings.EqualFold(v.Value, "true")
	}
}

// checkCookie looks at what cannot be together, and names the cookie where the file does not.
func (l *layout) checkCookie() {
	s := &l.file.Session
	bare := s.Domain == "" && s.Path == "/" && s.Secure
	prefix := func(p string) bool { return len(s.Name) >= len(p) && strings.EqualFold(s.Name[:len(p)], p) }
	switch {
	case l.name.Node == nil && bare:
		s.Name = "__Host-session"
	case l.name.Node == nil:
		s.Name = "session"
	case prefix("__Host-") && !bare:
		l.wrong(l.name, "take another name, or remove these",
			"browsers refuse a __Host- cookie with a domain, a path, or secure: false")
	case prefix("__Secure-") && !s.Secure:
		l.wrong(l.name, "take another name, or remove secure", "browsers refuse a __Secure- cookie with secure: false")
	}
	if s.SameSite == http.SameSiteNoneMode && !s.Secure {
		l.wrong(l.sameSite, "Lax, or remove secure", "browsers refuse SameSite=None with secure: false")
	}
}

// validName takes a token of RFC 6265, but not the bar, which separates what is signed.
func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}|`, c)
	})
}

const label = `[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`

var hostName = regexp.MustCompile(`^(` + label + `\.)*` + label + `$`)

// validDomain takes a host name of RFC 1123, or nothing. To a browser, a number at its end makes it an IP address.
func validDomain(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	return s == "" || len(s) <= 253 && hostName.MatchString(s) && strings.Trim(last, "0123456789") != ""
}

func validPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' || c == ';' })
}
