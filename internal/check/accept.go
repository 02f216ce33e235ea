package check

import (
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
)

// unusedAccept finds entries of the file's accept list that accept nothing. It is the last rule,
// because it looks at the findings of all others.
func unusedAccept(c *Config, r *report) {
	var own conf.Value // the entry for this rule, which is used if another one is not
	for _, rule := range c.File.Accepted {
		if rule.Value == r.rule.name {
			own = rule
		} else if c.decides(rule.Value) && !r.earlier(rule.Value) && !slices.Contains(c.Reported, rule.Value) {
			r.unused(rule)
		}
	}
	if own.Node != nil && len(r.found) == 0 {
		r.unused(own)
	}
}

func (r *report) unused(rule conf.Value) {
	r.value(rule, "remove the entry", "no finding has this rule, so the entry can only hide a new one")
}

// earlier reports whether one of the rules before has a finding with this name.
func (r *report) earlier(name string) bool {
	return slices.ContainsFunc(r.before, func(f *Finding) bool { return f.Rule == name })
}

// decides reports whether a rule has what it needs to have a finding.
func (c *Config) decides(rule string) bool {
	switch rule {
	case "cookie-scope": // compares with an earlier configuration
		return c.Was != nil
	case "unused-secrets":
		return c.Unused
	}
	return true
}
