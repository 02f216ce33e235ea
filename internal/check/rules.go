package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
)

// A rule finds one kind of surprising behavior.
type rule struct {
	name     string
	severity Severity // of its findings; find may change it for a single one
	find     func(c *Config, r *report)
}

// rules are all rules, in the order they run. To add one, add a row, and a file under testdata/check
// that begins with its name. Rules whose names begin with kratos- run only for files with keys of
// Ory Kratos.
var rules = []rule{
	{"never-runs", Warning, neverRuns},
	{"login-unsigned", Warning, loginUnsigned},
	{"closed", Warning, closed},
	{"enumeration", Warning, enumeration},
	{"slow-lock", Warning, slowLock},
	{"signs-out", Note, signsOut},
	{"strategy-only", Note, strategyOnly},
	{"late-gate", Warning, lateGate},
	{"long-timeout", Warning, longTimeout},
	{"email-sent-first", Warning, emailSentFirst},
	{"recovery-keeps-sessions", Warning, recoveryKeepsSessions},
	{"code-page", Note, codePage},
	{"again", Note, again},
	{"kratos-flow-wide", Note, kratosFlowWide},
	{"kratos-session-last", Note, kratosSessionLast},
	{"kratos-verification", Warning, kratosVerification},
	{"kratos-enabled", Warning, kratosEnabled},
	{"kratos-extend", Warning, kratosExtend},
	{"plain-link", Warning, plainLink},
	{"foreign-link", Warning, foreignLink},
	{"return-scheme", Warning, returnScheme},
	{"overruled", Warning, overruled},
	{"nested-config", Warning, nestedConfig},
	{"unresolved", Warning, unresolved},
	{"plain-redirect", Warning, plainRedirect},
	{"example-secret", Warning, exampleSecret},
	{"weak-secret", Warning, weakSecret},
	{"unused-secrets", Warning, unusedSecrets},
	{"cookie-insecure", Warning, cookieInsecure},
	{"cookie-cross-site", Warning, cookieCrossSite},
	{"cookie-domain", Warning, cookieDomain},
	{"cookie-prefix", Warning, cookiePrefix},
	{"cookie-scope", Warning, cookieScope},
	{"unused-accept", Note, unusedAccept}, // the last, because it looks at the findings of the others
}

// Rules are the names of all rules, sorted.
var Rules = names(rules)

func names(rules []rule) []string {
	all := make([]string, len(rules))
	for i, r := range rules {
		all[i] = r.name
	}
	slices.Sort(all)
	return all
}

// Findings returns the findings of all rules, rule by rule.
func (c *Config) Findings() []*Finding {
	var found []*Finding
	for _, rule := range rules {
		if strings.HasPrefix(rule.name, "kratos-") && !c.File.Kratos {
			continue
		}
		r := report{rule: rule, before: found}
		rule.find(c, &r)
		found = append(found, r.found...)
	}
	return found
}

// A report collects the findings of one rule. Its methods return the new finding, so that the rule
// can change its severity or its position.
type report struct {
	rule   rule
	found  []*Finding
	before []*Finding // of the rules before it
}

// hook reports a finding at the name of a hook.
func (r *report) hook(h *conf.Entry, hint, problem string, args ...any) *Finding {
	f := r.add(hint, problem, args...)
	f.Hook = h
	return f
}

// value reports a finding at a value of the file.
func (r *report) value(v conf.Value, hint, problem string, args ...any) *Finding {
	f := r.add(hint, problem, args...)
	f.Value = v
	return f
}

// place reports a finding in the file or in the options.
func (r *report) place(at Place, hint, problem string, args ...any) *Finding {
	f := r.value(at.Value, hint, problem, args...)
	f.Option = at.Option
	return f
}

func (r *report) add(hint, problem string, args ...any) *Finding {
	f := &Finding{Severity: r.rule.severity, Rule: r.rule.name}
	f.Text, f.Hint = fmt.Sprintf(problem, args...), hint
	r.found = append(r.found, f)
	return f
}
