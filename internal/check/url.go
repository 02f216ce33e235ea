package check

import (
	"net/url"
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// verificationLink returns where verification emails lead, or nil if no hook sends one.
func (c *Config) verificationLink() *url.URL {
	sends := []string{"verify", "require_verified_address", "verify_new_address"}
	if !slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool { return slices.Contains(sends, h.Builtin) }) {
		return nil
	}
	link, _ := parse(c.Link) // a verify hook with a bad URL is an error already
	return link
}

func plainLink(c *Config, r *report) {
	if link := c.verificationLink(); link != nil && !safe(link) {
		r.place(c.LinkAt, "use https",
			"the links in verification emails are plain http: anyone on the reader's network can take the token")
	}
}

// foreignLink finds verification links to a site that no redirect or return URL leads to.
func foreignLink(c *Config, r *report) {
	link := c.verificationLink()
	if link == nil {
		return
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
		r.place(c.LinkAt, "compare the host names",
			"verification emails lead to %s, but no redirect or return URL does: users may end up on another site",
			link.Hostname())
	}
}

// targets returns where redirects and return URLs lead. It leaves out redirects at before, because a
// maintenance page may be on any site.
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

func returnScheme(c *Config, r *report) {
	for _, v := range c.File.Allowed {
		if u, err := parse(v.Value); err == nil && u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
			r.value(v, "remove it, or write an http or https URL",
				"no user is ever sent to this URL: return URLs are http or https")
		}
	}
}

// plainRedirect finds redirects and return URLs that leave https.
func plainRedirect(c *Config, r *report) {
	if len(c.Secrets) == 0 || !c.File.Session.Secure {
		return // there is no Secure cookie
	}
	const hint = "use https"
	const problem = "this leads to plain http, where the session cookie is not sent and " +
		"anyone on the network can read along"
	plain := func(to string) bool {
		u, err := parse(to)
		return err == nil && !safe(u)
	}
	for h := range c.reached() {
		if plain(h.Target) {
			f := r.hook(h, hint, problem)
			f.Value = h.TargetAt
			if h.Phase == plan.Before { // to close a flow must be possible at once
				f.Severity = Note
			}
		}
	}
	for _, to := range c.File.Returns {
		if plain(to.URL.Value) {
			r.value(to.URL, hint, problem)
		}
	}
	for _, v := range c.File.Allowed {
		if plain(v.Value) {
			r.value(v, hint, problem)
		}
	}
}
