package flowhook

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"

	"github.com/flowhook/flowhook/internal/check"
)

// Severity says how much a [Finding] matters.
type Severity int

const (
	SeverityNote    Severity = iota // possibly intended, such as a maintenance redirect, or different in Kratos; logged as Info
	SeverityWarning                 // surprising for somebody; with Options.Strict an error of New
	SeverityError                   // New returns it as an error
)

// String gives "note", "warning" or "error"; of another value, its number.
func (s Severity) String() string {
	if names := [...]string{"note", "warning", "error"}; 0 <= s && int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Severity(%d)", int(s))
}

func (s Severity) level() slog.Level {
	return [...]slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}[s]
}

// A Finding is one thing that a configuration does, and that its reader may not expect. It never shows a secret.
type Finding struct {
	Position        // in the file, or in the Go source for what was added; zero for an option
	Path     string // "selfservice.login.before[0].hook", or "Options.Secrets[1]"
	Severity Severity
	Rule     string // what kind of finding it is, in a word: "never-runs"; "invalid" for what New refuses anyway
	Problem  string // what will happen, to whom
	Hint     string // the change that mends it; may be empty
}

// String gives position, severity, rule, problem and hint; the path, where there is no position.
func (f Finding) String() string {
	e := ConfigError{Position: f.Position, Problem: f.Severity.String() + ": " + f.Rule + ": " + f.Problem, Hint: f.Hint}
	if f.Position == (Position{}) {
		e.Path = f.Path
	}
	return e.Error()
}

// Check says what [New] would say of the configuration with these options: all errors, or, if there are none, what its
// reader may not expect. That is, for example, a hook that never runs, a session cookie that gives away whether an account
// exists, a secret that can be guessed, and what Ory Kratos would do differently. The order is that of the places in the
// file, then what was added, then options. It makes the hooks as New does, by their factories, and runs none. With
// Options.Strict it says the same: there, too, a warning is a warning. A nil Config has no hooks.
//
// Check leaves out findings of the rules in Options.Accept. Those of the rules that begin with
// "kratos-" it reports only if the file has a key that Kratos uses and flowhook does not, such as
// courier or selfservice.methods; docs/kratos.md lists these keys.
func (c *Config) Check(opts Options) []Finding {
	opts.Strict = false
	p, problems := newPipeline(opts).build(c)
	if len(problems) == 0 {
		return p.findings
	}
	found := make([]Finding, len(problems))
	for i, err := range problems {
		e := err.(*ConfigError)
		found[i] = Finding{e.Position, e.Path, SeverityError, "invalid", e.Problem, e.Hint}
		if e.rule != "" {
			found[i].Rule = e.rule
		}
	}
	return found
}

// check adds the findings to the plan, and makes problems of those that are errors.
func (b *builder) check() {
	hooks, specs := b.describe()
	c := check.Config{File: b.file, Hooks: hooks, Chains: b.plan.chains, Store: b.Store != nil, Unused: len(b.Secrets) > 0,
		Issues:     b.Issue == nil && len(b.secrets) > 0,
		Strategies: names(b.strategies), Limited: len(b.served) > 0,
		Serves: func(flow, strategy string) bool { return b.serves(Flow(flow), Strategy(strategy)) },
		Link:   b.VerificationURL, LinkAt: check.Place{Option: "Options.VerificationURL"}}
	if c.Link == "" && b.file.VerifyURL.Node != nil {
		c.Link, c.LinkAt = b.file.VerifyURL.Value, check.Place{Value: b.file.VerifyURL}
	}
	if was := b.pipeline.current.Load(); was != nil && was.tokens != nil {
		c.Was = &was.tokens.cookie
	}
	for i, text := range b.Secrets {
		c.Secrets = append(c.Secrets, check.Secret{Text: text, Place: check.Place{Option: fmt.Sprintf("Options.Secrets[%d]", i)}})
	}
	if len(b.Secrets) == 0 {
		for _, s := range b.file.Secrets {
			c.Secrets = append(c.Secrets, check.Secret{Text: s.Text, Place: check.Place{Value: s.Value}})
		}
	}
	for _, f := range c.Findings() {
		if Severity(f.Severity) != SeverityError && slices.Contains(b.Accept, f.Rule) {
			continue
		}
		at := place{path: f.Option}
		switch {
		case f.At.Node != nil:
			at = b.at(f.At)
		case f.Hook != nil:
			at = specs[f.Hook.ID].place
		}
		finding := Finding{at.pos, at.path, Severity(f.Severity), f.Rule, f.Problem, f.Hint}
		b.plan.findings = append(b.plan.findings, finding)
		if f.Hook != nil {
			info := &b.plan.shown[f.Hook.ID]
			info.Findings = append(info.Findings, finding)
		}
	}
	slices.SortStableFunc(b.plan.findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(b.part(x), b.part(y)), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	for _, f := range b.plan.findings {
		if f.Severity == SeverityError || b.Strict && f.Severity == SeverityWarning {
			e := b.wrong(place{f.Position, f.Path}, f.Hint, "%s", f.Problem)
			e.rule = f.Rule
		}
	}
}

// part orders the places of findings: in the file, in Go source, in the options.
func (b *builder) part(f Finding) int {
	switch {
	case f.Position == (Position{}):
		return 2
	case f.File != b.name:
		return 1
	}
	return 0
}
