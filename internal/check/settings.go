package check

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// link finds verification links that lead astray.
func (c *Config) link(l *list) {
	if !slices.ContainsFunc(c.Hooks, (*Hook).mails) {
		return
	}
	link, err := url.Parse(c.Link)
	if err != nil {
		return
	}
	if !safe(link) {
		l.setting(c.LinkAt, Warning, "plain-link", "use https",
			"the links in verification mails are plain http: whoever is on the reader's network can take the token")
	}
	var sites []string
	for _, h := range c.Hooks {
		if u, err := url.Parse(h.Target); err == nil && u.Host != "" {
			sites = append(sites, site(u.Hostname()))
		}
	}
	for _, r := range c.File.Returns {
		if u, err := url.Parse(r.URL.Value); err == nil && u.Host != "" {
			sites = append(sites, site(u.Hostname()))
		}
	}
	if len(sites) > 0 && !slices.Contains(sites, site(link.Hostname())) {
		l.setting(c.LinkAt, Warning, "foreign-link", "compare the host names",
			"verification mails lead to %s, and no redirect does: their readers may end up on another site", link.Hostname())
	}
}

// plain finds redirects that leave https.
func (c *Config) plain(l *list) {
	if !c.File.Session.Secure {
		return
	}
	const rule, hint = "plain-redirect", "use https"
	const problem = "this leads to plain http, where the session cookie is not sent and whoever is on the network reads along"
	c.each(func(h *Hook, _ *Chain) {
		if u, err := url.Parse(h.Target); err == nil && !safe(u) {
			l.to(h, Warning, rule, hint, problem)
		}
	})
	for _, r := range c.File.Returns {
		if u, err := url.Parse(r.URL.Value); err == nil && !safe(u) {
			l.setting(Place{Value: r.URL}, Warning, rule, hint, problem)
		}
	}
	for _, v := range c.File.Allowed {
		if u, err := url.Parse(v.Value); err == nil && !safe(u) {
			l.setting(Place{Value: v}, Warning, rule, hint, problem)
		} else if err == nil && u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
			l.setting(Place{Value: v}, Warning, "return-scheme", "remove it",
				"nobody is ever returned to it: return URLs are http or https")
		}
	}
}

// safe says that a URL is not plain http, or does not leave the machine.
func safe(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost") || err == nil && ip.IsLoopback()
	return !strings.EqualFold(u.Scheme, "http") || local
}

// site gives what hosts of one site have in common: the last two labels, or three where the last two look like a
// registry's, such as co.uk. It errs, without a list of them; so what is found by it is only a warning.
func site(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	n := 2
	if k := len(labels); k > 2 && len(labels[k-1]) == 2 && len(labels[k-2]) <= 3 {
		n = 3
	}
	return strings.Join(labels[max(0, len(labels)-n):], ".")
}

// secrets finds those that can be guessed, or are not used.
func (c *Config) secrets(l *list) {
	const hint = "make one by: openssl rand -hex 32"
	for _, s := range c.Secrets {
		if example(s.Text) {
			l.setting(s.Place, Warning, "example-secret", hint, "this secret is one of an example: whoever has read it can sign session tokens")
		} else if strength(s.Text) < 32 {
			l.setting(s.Place, Warning, "weak-secret", hint, "this secret is easier to guess than 32 random bytes")
		}
	}
	if c.Unused && len(c.File.Secrets) > 0 {
		l.setting(Place{Value: c.File.Secrets[0].Value}, Warning, "unused-secrets", "remove one of them", "the file's secrets have no effect: Options.Secrets take their place")
	}
}

// cookie finds what weakens the session cookie.
func (c *Config) cookie(l *list) {
	if len(c.Secrets) == 0 {
		return // there is none
	}
	cookie, at := c.File.Session.Cookie, c.File.CookieAt
	if !cookie.Secure {
		l.setting(Place{Value: at.Secure}, Warning, "cookie-insecure", "remove it; browsers take Secure cookies on http://localhost, too",
			"the session cookie is sent over plain http, too: whoever is on the user's network can take the session")
	}
	if cookie.SameSite == http.SameSiteNoneMode {
		l.setting(Place{Value: at.SameSite}, Warning, "cookie-cross-site", "Lax, unless the service is embedded in other sites",
			"browsers send the session cookie with the requests of every other site: only the service's own CSRF protection is left")
	}
	switch {
	case cookie.Domain != "":
		l.setting(Place{Value: at.Domain}, Warning, "cookie-domain", "remove it, unless other hosts need the session",
			"every host under %s gets the session cookie, and can set one in its place", cookie.Domain)
	case cookie.Secure && !strings.HasPrefix(cookie.Name, "__Host-"):
		place := at.Name
		if place.Node == nil {
			place = at.Path
		}
		l.setting(Place{Value: place}, Warning, "cookie-prefix", "leave name and path out: it is then called __Host-session",
			"without the prefix __Host-, any neighbouring host can set a session cookie in place of this one")
	}
}
