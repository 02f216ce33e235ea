package check

import (
	"slices"
	"strings"
)

// unusedAccept finds entries of the file's accept list that accept nothing. It is the last rule,
// because it looks at the findings of all others.
func unusedAccept(c *Config, r *report) {
	for _, rule := range c.File.Accepted {
		if c.decides(rule.Value) && !r.earlier(rule.Value) && !slices.Contains(c.Reported, rule.Value) {
			r.value(rule, "remove the entry", "no finding has this rule, so the entry can only hide a new one")
		}
	}
}

// earlier reports whether one of the rules before has a finding with this name.
func (r *report) earlier(name string) bool {
	return slices.ContainsFunc(r.before, func(f *Finding) bool { return f.Rule == name })
}

// decides reports whether a rule has what it needs to have a finding. Some of that is known only to
// the service, and not to those who check its file.
func (c *Config) decides(rule string) bool {
	hook, _, ofHook := strings.Cut(rule, "/")
	switch {
	case ofHook:
		return !slices.Contains(c.Unjudged, hook)
	case rule == "slow-lock":
		return c.Store
	case rule == "plain-link" || rule == "foreign-link":
		return c.Link != "" && c.LinkAt.Option == ""
	case rule == "cookie-scope": // compares with an earlier configuration
		return c.Was != nil
	case strings.HasPrefix(rule, "cookie-"):
		return len(c.Secrets) > 0
	case rule == "unused-secrets":
		return c.Unused
	}
	return true
}
