package flowhook

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"

	"github.com/flowhook/flowhook/internal/check"
	"github.com/flowhook/flowhook/internal/conf"
)

// A Severity is how much a [Finding] matters.
type Severity int

const (
	// SeverityNote is for what may be intended, such as a maintenance redirect, and for differences
	// to Ory Kratos. New logs notes at level Info.
	SeverityNote Severity = iota

	// SeverityWarning is for what will surprise somebody. New logs warnings at level Warn. With
	// Options.Strict, it returns them as errors.
	SeverityWarning

	// SeverityError is for what New returns as an error.
	SeverityError
)

// String returns "note", "warning" or "error", and for any other value its number.
func (s Severity) String() string {
	if names := [...]string{"note", "warning", "error"}; 0 <= s && int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Severity(%d)", int(s))
}

func (s Severity) level() slog.Level {
	return [...]slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}[s]
}

// A Finding is something in a configuration that is wrong or surprising. It never shows a secret.
type Finding struct {
	Position        // in the file, or the Go source of an added hook; zero for an option
	Path     string // as in "selfservice.login.before[0].hook" or "Options.Secrets[1]"
	Severity Severity
	Rule     string // the kind of finding, such as "never-runs"; "invalid" for an error of New
	Problem  string // what is wrong, or what will happen
	Hint     string // how to fix it; may be empty
}

// String returns the position, or else the path, then severity, rule, problem and hint.
func (f Finding) String() string {
	problem := f.Severity.String() + ": " + f.Rule + ": " + f.Problem
	e := ConfigError{Position: f.Position, Problem: problem, Hint: f.Hint}
	if f.Position == (Position{}) {
		e.Path = f.Path
	}
	return e.Error()
}

// Check returns all errors that [New] would return with these options. If there are none, it
// returns surprising behavior: a hook that never runs, a session cookie that reveals whether an
// account exists, a secret that is easy to guess, a difference to Ory Kratos, and so on. Findings
// in the file come first, in the order of the file, then those about added hooks, then those about
// options.
//
// Check calls the factories of the hooks, as New does, and runs no hook. It ignores Options.Strict.
// It leaves out findings of the rules in Options.Accept and in the file's flowhook.accept. It
// reports rules that begin with "kratos-" only if the file has a key that Kratos uses and flowhook
// does not, such as courier. A nil Config has no hooks.
func (c *Config) Check(opts Options) []Finding {
	opts.Strict = false
	return newPipeline(opts).check(c)
}

// Check is [Config.Check] with the pipeline's own options. Like [Pipeline.Reload], it compares cfg
// with the current configuration. It changes nothing.
func (p *Pipeline) Check(cfg *Config) []Finding {
	opts := p.options
	opts.Strict = false
	checker := newPipeline(opts)
	checker.current.Store(p.current.Load()) // the rule cookie-scope compares with it
	return checker.check(cfg)
}

// Preview returns the plan that Reload(cfg) would activate, or its error. Like Check, it calls the factories of the hooks, and it changes nothing.
func (p *Pipeline) Preview(cfg *Config) (*Plan, error) {
	made, problems := p.build(cfg)
	if err := joined(problems); err != nil {
		return nil, err
	}
	return made, nil
}

func (p *Pipeline) check(cfg *Config) []Finding {
	made, problems := p.build(cfg)
	if len(problems) == 0 {
		return made.findings
	}
	found := make([]Finding, len(problems))
	for i, e := range problems {
		found[i] = Finding{e.Position, e.Path, SeverityError, cmp.Or(e.rule, "invalid"), e.Problem, e.Hint}
	}
	return found
}

// A found finding is about an entry, or about a setting if entry is nil.
type found struct {
	entry *conf.Entry
	Finding
}

// check adds the findings to the plan, and makes problems of those that are errors.
func (b *builder) check() {
	all := b.found
	for _, f := range b.rules().Findings() {
		at := location{path: f.Option}
		switch {
		case f.Node != nil:
			at = b.at(f.Value)
		case f.Hook != nil:
			at = entryPlace(f.Hook)
		}
		all = append(all, found{f.Hook, Finding{at.pos, at.path, Severity(f.Severity), f.Rule, f.Text, f.Hint}})
	}
	slices.SortStableFunc(all, func(x, y found) int {
		return cmp.Or(cmp.Compare(b.part(x.Finding), b.part(y.Finding)),
			cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column),
			cmp.Compare(secretNumber(x.Finding), secretNumber(y.Finding)))
	})
	for _, f := range all {
		if f.Severity != SeverityError && b.accepts(f.Rule) {
			continue
		}
		b.plan.findings = append(b.plan.findings, f.Finding)
		if f.entry != nil {
			b.plan.about[f.entry] = append(b.plan.about[f.entry], f.Finding)
		}
	}
	for _, f := range b.plan.findings {
		if f.Severity == SeverityError || b.Strict && f.Severity == SeverityWarning {
			b.wrong(location{f.Position, f.Path}, f.Hint, "%s", f.Problem).rule = f.Rule
		}
	}
}

// accepts reports whether findings of a rule are intended.
func (b *builder) accepts(rule string) bool {
	return slices.Contains(b.Accept, rule) ||
		slices.ContainsFunc(b.file.Accepted, func(v conf.Value) bool { return v.Value == rule })
}

// rules returns what the rules of package check look at.
func (b *builder) rules() *check.Config {
	c := &check.Config{
		File:       b.file,
		Hooks:      b.entries,
		Chains:     b.plan.chains,
		Store:      b.Store != nil,
		Issues:     b.Issue == nil && len(b.secrets) > 0,
		Unused:     len(b.Secrets) > 0,
		Link:       b.plan.verification.url,
		LinkAt:     check.Place{Option: "Options.VerificationURL"},
		Strategies: names(b.strategies),
		Serves:     func(flow, strategy string) bool { return b.serves(Flow(flow), Strategy(strategy)) },
		Limited:    len(b.serving) > 0,
	}
	if b.VerificationURL == "" {
		c.LinkAt = check.Place{Value: b.file.Verification.URL}
	}
	if b.RecoveryURL != "" {
		c.RecoveryURL.Option = "Options.RecoveryURL"
	} else {
		c.RecoveryURL.Value = b.file.Recovery.URL
	}
	if was := b.pipeline.current.Load(); was != nil && was.tokens != nil {
		c.Was = &was.tokens.cookie
	}
	c.Unjudged = b.unjudged
	for _, f := range b.found {
		c.Reported = append(c.Reported, f.Rule)
	}
	for i, text := range b.Secrets {
		at := check.Place{Option: fmt.Sprintf("Options.Secrets[%d]", i)}
		c.Secrets = append(c.Secrets, check.Secret{Text: text, Place: at})
	}
	if len(b.Secrets) == 0 {
		for _, s := range b.file.Secrets {
			c.Secrets = append(c.Secrets, check.Secret{Text: s.Text, Place: check.Place{Value: s.Value}})
		}
	}
	return c
}

// part orders findings: those in the file, then those in Go source, then those in the options.
func (b *builder) part(f Finding) int {
	switch {
	case f.Position == (Position{}):
		return 2
	case f.File != b.name:
		return 1
	}
	return 0
}

// secretNumber returns the number of the entry of Options.Secrets that a finding is about, from 1,
// or 0 if it is about something else.
func secretNumber(f Finding) int {
	var i int
	if n, _ := fmt.Sscanf(f.Path, "Options.Secrets[%d]", &i); n == 0 {
		return 0
	}
	return i + 1
}
