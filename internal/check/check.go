// Package check finds behavior that the reader of a valid configuration may not expect. Each rule is
// one row of the table in rules.go.
package check

import (
	"iter"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// A Severity is how much a finding matters.
type Severity int

const (
	Note    Severity = iota // probably intended
	Warning                 // surprising
	Error                   // contradicts another setting in the file
)

// A Finding is one thing that the reader of a configuration may not expect.
type Finding struct {
	conf.Problem // its Value is zero for a finding at the name of a hook or in the options

	Hook     *conf.Entry // nil for a setting
	Option   string      // the field of the options; empty for a finding in the file
	Severity Severity
	Rule     string
}

// A Config is the configuration that the rules check.
type Config struct {
	File    *conf.File
	Hooks   []*conf.Entry
	Chains  []plan.Chain
	Store   bool     // Options.Store is set, so hooks run in transactions
	Secrets []Secret // those in use
	Issues  bool     // flowhook issues the sessions, not the host
	Unused  bool     // Options.Secrets replace the secrets of the file
	Link    string   // where verification emails lead
	LinkAt  Place

	RecoveryURL Place // where it is set

	Reported []string // the rules of findings that the host's hooks report
	Unjudged []string // names of hooks that a stub stands for, so that it is unknown what they report

	Was *conf.Cookie // the session cookie of the configuration that this one replaces, or nil

	Strategies []string                         // all declared strategies
	Serves     func(flow, strategy string) bool // reports what the service has; "" is any strategy
	Limited    bool                             // Options.Serves is set
}

// A Place is a value in the file, or a field of the options.
type Place struct {
	Value  conf.Value
	Option string
}

// A Secret signs or verifies session tokens.
type Secret struct {
	Text string
	Place
}

// reached returns each hook that some request reaches, once, with the first chain in which it runs.
func (c *Config) reached() iter.Seq2[*conf.Entry, *plan.Chain] {
	return func(yield func(*conf.Entry, *plan.Chain) bool) {
		seen := map[*conf.Entry]bool{}
		for i := range c.Chains {
			for j, h := range c.Chains[i].Hooks {
				if c.Chains[i].AnsweredBy[j] != nil || seen[h] {
					continue
				}
				seen[h] = true
				if !yield(h, &c.Chains[i]) {
					return
				}
			}
		}
	}
}
