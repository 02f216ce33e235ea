package check

import (
	"net/http"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
)

// cookie returns the session cookie. ok is false if flowhook sets none.
func (c *Config) cookie() (cookie conf.Cookie, at conf.CookieAt, ok bool) {
	return c.File.Session.Cookie, c.File.CookieAt, len(c.Secrets) > 0
}

func cookieInsecure(c *Config, r *report) {
	if cookie, at, ok := c.cookie(); ok && !cookie.Secure {
		r.value(at.Secure, "remove it; browsers accept Secure cookies on http://localhost",
			"the session cookie is also sent over plain http: anyone on the user's network can take the session")
	}
}

func cookieCrossSite(c *Config, r *report) {
	if cookie, at, ok := c.cookie(); ok && cookie.SameSite == http.SameSiteNoneMode {
		r.value(at.SameSite, "use Lax, unless other sites embed the service",
			"browsers send the session cookie with requests from every other site: "+
				"only your own CSRF protection is left")
	}
}

func cookieDomain(c *Config, r *report) {
	if cookie, at, ok := c.cookie(); ok && cookie.Domain != "" {
		r.value(at.Domain, "remove it, unless other hosts need the session",
			"every host under %s receives the session cookie and can replace it", cookie.Domain)
	}
}

// cookiePrefix finds a cookie that could have the prefix. With a domain or without Secure it could
// not, and cookie-domain and cookie-insecure report that.
func cookiePrefix(c *Config, r *report) {
	cookie, at, ok := c.cookie()
	if !ok || cookie.Domain != "" || !cookie.Secure || strings.HasPrefix(cookie.Name, "__Host-") {
		return
	}
	place := at.Name
	if place.Node == nil {
		place = at.Path
	}
	r.value(place, "leave out name and path: the cookie is then called __Host-session",
		"without the prefix __Host-, any neighboring host can replace the session cookie")
}

// cookieScope finds a cookie that keeps its name when a Reload changes its domain or path.
func cookieScope(c *Config, r *report) {
	cookie, at, ok := c.cookie()
	if !ok || c.Was == nil || c.Was.Name != cookie.Name {
		return
	}
	sameDomain := strings.EqualFold(c.Was.Domain, cookie.Domain)
	if sameDomain && c.Was.Path == cookie.Path {
		return
	}
	places := []conf.Value{at.Domain, at.Name, at.Path, at.Secure}
	if sameDomain {
		places[0], places[2] = at.Path, at.Domain
	}
	// One of them is in the file: without any, the name is __Host-session, which has no other scope.
	i := slices.IndexFunc(places, func(v conf.Value) bool { return v.Node != nil })
	r.value(places[i], "change session.cookie.name as well",
		"the session cookie %q keeps its name but changes its domain or path: browsers then send the old and the new one, "+
			"and a user with two live sessions is anonymous", cookie.Name)
}
