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
	doc      string // what its findings have in common, in a sentence or two
}

// rules are all rules, in the order they run. To add one, add a row, and a file under testdata/check
// that begins with its name. Rules whose names begin with kratos- run only for files with keys of
// Ory Kratos.
var rules = []rule{
	{"never-runs", Warning, neverRuns,
		"A hook never runs, because a redirect always answers before it."},
	{"login-unsigned", Warning, loginUnsigned,
		"A login is answered before its session is issued."},
	{"closed", Warning, closed,
		"A redirect answers before anything is saved."},
	{"enumeration", Warning, enumeration,
		"A session after registration reveals whether an account exists."},
	{"slow-lock", Warning, slowLock,
		"A hook of the service's own runs in the transaction before built-in ones, so other requests of the user wait."},
	{"signs-out", Note, signsOut,
		"A user who changes settings is signed out."},
	{"strategy-only", Note, strategyOnly,
		"revoke_active_sessions runs for some login strategies only."},
	{"late-gate", Warning, lateGate,
		"A hook that decides whether the flow may go on runs when everything is saved."},
	{"long-timeout", Warning, longTimeout,
		"A timeout at failed exceeds the limit of that phase."},
	{"email-sent-first", Warning, emailSentFirst,
		"A hook does not run if a verification email was sent, because show_verification_ui answers before it."},
	{"recovery-keeps-sessions", Warning, recoveryKeepsSessions,
		"A recovery ends no sessions, so somebody who has stolen the account stays signed in."},
	{"code-page", Note, codePage,
		"Emails have codes, so the page must ask for the code."},
	{"again", Note, again,
		"A hook does nothing, because the same hook has already run."},
	{"kratos-flow-wide", Note, kratosFlowWide,
		"A flow-wide hook also runs for a strategy with hooks of its own. In Kratos, it does not."},
	{"kratos-session-last", Note, kratosSessionLast,
		"A session hook runs where it is written. Kratos runs it last."},
	{"kratos-verification", Warning, kratosVerification,
		"Kratos sends verification emails by itself. Here only a verify hook does."},
	{"kratos-enabled", Warning, kratosEnabled,
		"Kratos closes a flow with enabled: false. Here this has no effect."},
	{"kratos-extend", Warning, kratosExtend,
		"Kratos extends sessions. Here the setting has no effect."},
	{"plain-link", Warning, plainLink,
		"Verification links use plain http."},
	{"foreign-link", Warning, foreignLink,
		"Verification links lead to another site than the redirects."},
	{"return-scheme", Warning, returnScheme,
		"A return URL uses plain http, or no user is ever sent to it."},
	{"overruled", Warning, overruled,
		"A value has no effect, because a newer or closer key sets the same thing."},
	{"nested-config", Warning, nestedConfig,
		"A configuration has no effect, because it is below another key or in a text."},
	{"unresolved", Warning, unresolved,
		"A hook receives a text that looks like a reference, because nothing resolves it."},
	{"plain-redirect", Warning, plainRedirect,
		"A redirect leads to plain http."},
	{"example-secret", Warning, exampleSecret,
		"A secret was copied from documentation."},
	{"weak-secret", Warning, weakSecret,
		"A secret can be guessed."},
	{"unused-secrets", Warning, unusedSecrets,
		"The secrets of the file are not used."},
	{"cookie-insecure", Warning, cookieInsecure,
		"The session cookie is sent over plain http."},
	{"cookie-cross-site", Warning, cookieCrossSite,
		"The session cookie is sent with requests from other sites."},
	{"cookie-domain", Warning, cookieDomain,
		"The session cookie is sent to other hosts."},
	{"cookie-prefix", Warning, cookiePrefix,
		"Neighboring hosts can replace the session cookie."},
	{"cookie-scope", Warning, cookieScope,
		"The session cookie keeps its name but changes its domain or path."},
	{"unused-accept", Note, unusedAccept,
		"An entry of flowhook.accept accepts nothing."}, // the last, because it looks at the findings of the others
}

// Describe returns what the findings of a rule have in common, or "" if there is no such rule.
func Describe(name string) string {
	for _, r := range rules {
		if r.name == name {
			return r.doc
		}
	}
	return ""
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
