package check

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// link finds verification links that lead astray.
func (c *Config) link(l *list) {
	if !slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool { return h.Is("verify") }) {
		return
	}
	link, _ := parse(c.Link) // without a good one there is no verify hook
	if !safe(link) {
		l.setting(c.LinkAt, Warning, "plain-link", "use https",
			"the links in verification emails are plain http: anyone on the reader's network can take the token")
	}
	leads, ours := false, false // to some site; to that of the link
	for _, to := range c.targets() {
		if u, err := parse(to); err == nil && u.Host != "" {
			leads, ours = true, ours || site(u.Hostname()) == site(link.Hostname())
		}
	}
	for _, v := range c.File.Allowed {
		u, err := parse(v.Value)
		ours = ours || err == nil && site(u.Hostname()) == site(link.Hostname())
	}
	if leads && !ours {
		l.setting(c.LinkAt, Warning, "foreign-link", "compare the host names",
			"verification mails lead to %s, and no redirect or return URL does: their readers may end up on another site", link.Hostname())
	}
}

// targets gives where redirects and return URLs lead. A page that says that a flow is closed may be anywhere.
func (c *Config) targets() (all []string) {
	for _, h := range c.Hooks {
		if h.Phase != plan.Before {
			all = append(all, h.Target)
		}
	}
	for _, r := range c.File.Returns {
		all = append(all, r.URL.Value)
	}
	return all
}

// returns finds what is no use as a return URL.
func (c *Config) returns(l *list) {
	for _, v := range c.File.Allowed {
		if u, err := parse(v.Value); err == nil && u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
			l.setting(Place{Value: v}, Warning, "return-scheme", "remove it, or write an http or https URL",
				"nobody is ever returned to it: return URLs are http or https")
		}
	}
}

// overruled finds what another value stands in for.
func (c *Config) overruled(l *list) {
	for _, o := range c.File.Overruled {
		l.setting(Place{Value: o.Value}, Warning, "overruled", "remove it", "this has no effect: %s counts instead (line %d)", o.By.Path, o.By.Line)
	}
}

// plain finds redirects that leave https.
func (c *Config) plain(l *list) {
	if len(c.Secrets) == 0 || !c.File.Session.Secure {
		return // there is no Secure cookie
	}
	const rule, hint = "plain-redirect", "use https"
	const problem = "this leads to plain http, where the session cookie is not sent and anyone on the network can read along"
	plain := func(to string) bool {
		u, err := parse(to)
		return err == nil && !safe(u)
	}
	c.each(func(h *conf.Entry, _ *plan.Chain) {
		if plain(h.Target) {
			severity := Warning
			if h.Phase == plan.Before { // to close a flow must be possible at once
				severity = Note
			}
			l.hook(h, severity, rule, hint, problem)
			(*l)[len(*l)-1].At = h.TargetAt
		}
	})
	for _, r := range c.File.Returns {
		if plain(r.URL.Value) {
			l.setting(Place{Value: r.URL}, Warning, rule, hint, problem)
		}
	}
	for _, v := range c.File.Allowed {
		if plain(v.Value) {
			l.setting(Place{Value: v}, Warning, rule, hint, problem)
		}
	}
}

// parse parses a URL without its fragment, in which browsers keep what url.Parse refuses.
func parse(to string) (*url.URL, error) {
	to, _, _ = strings.Cut(to, "#")
	return url.Parse(to)
}

// safe says that a URL is not plain http, or does not leave the machine.
func safe(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
	return !strings.EqualFold(u.Scheme, "http") || local
}

// registries are what stands in front of a country where its registry sells names below it: co.uk.
var registries = []string{"ac", "co", "com", "edu", "go", "gob", "gov", "gv", "ltd", "mil", "ne", "net", "nom", "or", "org", "plc", "sch"}

// site gives what hosts of one site have in common: the last two labels, or three where the last two are a registry's.
// Without a list of all of them it errs; so what is found by it is only a warning.
func site(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	n, k := 2, len(labels)
	if k > 2 && len(labels[k-1]) == 2 && slices.Contains(registries, labels[k-2]) {
		n = 3
	}
	return strings.Join(labels[max(0, k-n):], ".")
}

// secrets finds those that can be guessed, or are not used.
func (c *Config) secrets(l *list) {
	const hint = "make one by: openssl rand -hex 32"
	for _, s := range c.Secrets {
		if example(s.Text) {
			l.setting(s.Place, Warning, "example-secret", hint, "this secret was copied from documentation: anyone who has read it can sign session tokens")
		} else if strength(s.Text) < 32 {
			l.setting(s.Place, Warning, "weak-secret", hint, "this secret is easier to guess than 32 random bytes, and anyone who guesses it can sign session tokens")
		}
	}
	if c.Unused && len(c.File.Secrets) > 0 {
		l.setting(Place{Value: c.File.Secrets[0].Value}, Warning, "unused-secrets", "remove them, or set no Options.Secrets",
			"the file's secrets have no effect: Options.Secrets take their place")
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
			"the session cookie is sent over plain http, too: anyone on the user's network can take the session")
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

// cookieScope finds a session cookie that keeps its name when a Reload changes its domain or path.
func (c *Config) cookieScope(l *list) {
	was, is, at := c.Was, c.File.Session.Cookie, c.File.CookieAt
	if was == nil || len(c.Secrets) == 0 || was.Name != is.Name {
		return
	}
	sameDomain := strings.EqualFold(was.Domain, is.Domain)
	if sameDomain && was.Path == is.Path {
		return
	}
	places := []conf.Value{at.Domain, at.Name, at.Path, at.Secure}
	if sameDomain {
		places[0], places[2] = at.Path, at.Domain
	}
	// One of them is in the file: without any, the name is __Host-session, which has no other scope.
	i := slices.IndexFunc(places, func(v conf.Value) bool { return v.Node != nil })
	l.setting(Place{Value: places[i]}, Warning, "cookie-scope", "change session.cookie.name as well",
		"the session cookie %q keeps its name but changes its domain or path: browsers then send the old and the new one, "+
			"and a user with two live sessions is anonymous", is.Name)
}
