package check

import (
	"fmt"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// A Severity says how bad a finding is.
type Severity int

const (
	Note    Severity = iota // it may well be meant
	Warning                 // it will surprise somebody
	Error                   // it contradicts what the file says elsewhere
)

// A Finding is one thing that the reader of a configuration may not expect.
type Finding struct {
	Hook     *conf.Entry // what it is about; nil: a setting
	At       conf.Value  // where it stands, if not at the hook's name
	Option   string      // instead of either: a field of the options
	Severity Severity
	Rule     string
	Problem  string
	Hint     string
}

// A Config is what is looked at.
type Config struct {
	File    *conf.File
	Hooks   []*conf.Entry
	Chains  []plan.Chain
	Store   bool     // there are transactions
	Secrets []Secret // that count
	Issues  bool     // flowhook issues the sessions, not the host
	Unused  bool     // the file has secrets, but others count
	Link    string   // where verification mails lead
	LinkAt  Place
	Was     *conf.Cookie // the session cookie of the configuration that this one replaces; nil: none

	Strategies []string                         // all that are declared
	Serves     func(flow, strategy string) bool // reports whether the service has it; "" is any strategy
	Limited    bool                             // Serves does not report true for everything
}

// Rules are the names of all rules, sorted.
var Rules = []string{
	"again",
	"closed",
	"cookie-cross-site",
	"cookie-domain",
	"cookie-insecure",
	"cookie-prefix",
	"cookie-scope",
	"enumeration",
	"example-secret",
	"foreign-link",
	"kratos-enabled",
	"kratos-extend",
	"kratos-flow-wide",
	"kratos-session-last",
	"kratos-verification",
	"late-gate",
	"login-unsigned",
	"long-timeout",
	"nested-config",
	"never-runs",
	"overruled",
	"plain-link",
	"plain-redirect",
	"return-scheme",
	"signs-out",
	"slow-lock",
	"strategy-only",
	"unresolved",
	"unused-secrets",
	"weak-secret",
}

// A Place is a value of the file, or a field of the options.
type Place struct {
	Value  conf.Value
	Option string
}

// A Secret signs, or verifies, session tokens.
type Secret struct {
	Text string
	Place
}

// A list collects findings.
type list []Finding

func (l *list) hook(h *conf.Entry, s Severity, rule, hint, problem string, args ...any) {
	*l = append(*l, Finding{Hook: h, Severity: s, Rule: rule, Problem: fmt.Sprintf(problem, args...), Hint: hint})
}

func (l *list) setting(at Place, s Severity, rule, hint, problem string, args ...any) {
	*l = append(*l, Finding{At: at.Value, Option: at.Option, Severity: s, Rule: rule, Problem: fmt.Sprintf(problem, args...), Hint: hint})
}

// Findings gives all that the rules find, in no order that means anything.
func (c *Config) Findings() []Finding {
	var l list
	c.behind(&l)
	c.closed(&l)
	c.registered(&l)
	c.locked(&l)
	c.revoked(&l)
	c.revokedForSome(&l)
	c.gates(&l)
	c.late(&l)
	c.again(&l)
	c.kratos(&l)
	c.link(&l)
	c.returns(&l)
	c.overruled(&l)
	c.nested(&l)
	c.unresolved(&l)
	c.plain(&l)
	c.secrets(&l)
	c.cookie(&l)
	c.cookieScope(&l)
	return l
}

// each calls fn once for every hook that some request reaches, with a chain in which one does.
func (c *Config) each(fn func(h *conf.Entry, in *plan.Chain)) {
	seen := map[*conf.Entry]bool{}
	for i := range c.Chains {
		for j, h := range c.Chains[i].Hooks {
			if c.Chains[i].AnsweredBy[j] == nil && !seen[h] {
				seen[h] = true
				fn(h, &c.Chains[i])
			}
		}
	}
}
