package conf

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// A cookie gathers the settings of the session cookie.
type cookie struct {
	*layout
	*Session
	set map[string]value // what the file says, by key; the newest
}

var sameSites = map[string]http.SameSite{
	"Strict": http.SameSiteStrictMode, "Lax": http.SameSiteLaxMode, "None": http.SameSiteNoneMode,
}

func (c *cookie) read(v value, keys ...string) {
	for _, p := range c.mapping(v, "a mapping") {
		if !slices.Contains(keys, p.name) {
			c.unknown(p.key, "key", p.name, keys)
			continue
		}
		if p.name == "persistent" || p.name == "secure" {
			c.flag(p)
		} else if s, ok := c.text(p.value, "a string"); ok {
			c.word(p, s)
		}
	}
}

func (c *cookie) flag(p pair) {
	if !c.is(p.value, "true or false") {
		return
	}
	c.set[p.name] = p.value
	on := strings.EqualFold(p.Value, "true")
	if p.name == "secure" {
		c.Secure = on
	} else {
		c.Persistent = on
	}
}

func (c *cookie) word(p pair, s string) {
	c.set[p.name] = p.value
	switch p.name {
	case "name":
		if c.Name = s; !validName(s) {
			c.wrong(p.value, "letters, digits and !#$%&'*+-.^_`~", "not a name for a cookie")
		}
	case "domain": // an empty one is none: the cookie is the host's alone
		if c.Domain = s; s != "" && !validDomain(s) {
			c.wrong(p.value, "a host name, without scheme, port or leading dot", "not a domain for a cookie")
		}
	case "path":
		if c.Path = s; !validPath(s) {
			c.wrong(p.value, "begin it with /; no semicolon, nothing but ASCII", "not a path for a cookie")
		}
	case "same_site":
		site, ok := sameSites[s]
		if c.SameSite = site; !ok {
			c.wrong(p.value, "Strict, Lax or None", "not a SameSite mode")
		}
	}
}

// check looks at what cannot be together, and names the cookie where the file does not.
func (c *cookie) check() {
	bare := c.Domain == "" && c.Path == "/" && c.Secure
	name, named := c.set["name"]
	prefix := func(p string) bool { return len(c.Name) >= len(p) && strings.EqualFold(c.Name[:len(p)], p) }
	switch {
	case !named && bare:
		c.Name = "__Host-session"
	case !named:
		c.Name = "session"
	case prefix("__Host-") && !bare:
		c.wrong(name, "take another name, or remove these", "browsers refuse a __Host- cookie with a domain, a path, or secure: false")
	case prefix("__Secure-") && !c.Secure:
		c.wrong(name, "take another name, or remove secure", "browsers refuse a __Secure- cookie with secure: false")
	}
	if c.SameSite == http.SameSiteNoneMode && !c.Secure {
		c.wrong(c.set["same_site"], "Lax, or remove secure", "browsers refuse SameSite=None with secure: false")
	}
}

// validName takes a token of RFC 6265, but not the bar, which separates what is signed.
func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}|`, c)
	})
}

var hostName = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)

// validDomain takes a host name of RFC 1123. One whose last label is a number would be an IP address to a browser.
func validDomain(s string) bool {
	_, err := netip.ParseAddr(s)
	last := s[strings.LastIndexByte(s, '.')+1:]
	return err != nil && len(s) <= 253 && hostName.MatchString(s) && strings.Trim(last, "0123456789") != ""
}

func validPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' || c == ';' })
}
