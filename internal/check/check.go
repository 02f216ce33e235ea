package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
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
	Hook     *Hook      // what it is about; nil: a setting
	At       conf.Value // where it stands, if not at the hook's name
	Option   string     // instead of either: a field of the options
	Severity Severity
	Rule     string
	Problem  string
	Hint     string
}

// A Config is what is looked at.
type Config struct {
	File    *conf.File
	Hooks   []*Hook
	Chains  []Chain
	Store   bool     // there are transactions
	Secrets []Secret // that count
	Unused  bool     // the file has secrets, but others count
	Link    string   // where verification mails lead
	LinkAt  Place
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

func (l *list) hook(h *Hook, s Severity, rule, hint, problem string, args ...any) {
	*l = append(*l, Finding{Hook: h, Severity: s, Rule: rule, Problem: fmt.Sprintf(problem, args...), Hint: hint})
}

// to is about the target of a redirect, or, as hook, where it has no place of its own.
func (l *list) to(h *Hook, s Severity, rule, hint, problem string, args ...any) {
	l.hook(h, s, rule, hint, problem, args...)
	(*l)[len(*l)-1].At = h.To
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
	c.late(&l)
	c.kratos(&l)
	c.link(&l)
	c.plain(&l)
	c.secrets(&l)
	c.cookie(&l)
	return l
}

// each calls fn once for every hook that some request reaches, with a chain in which one does.
func (c *Config) each(fn func(h *Hook, in *Chain)) {
	seen := map[*Hook]bool{}
	for i := range c.Chains {
		for j, h := range c.Chains[i].Hooks {
			if c.Chains[i].Behind[j] == nil && !seen[h] {
				seen[h] = true
				fn(h, &c.Chains[i])
			}
		}
	}
}

// mails says whether a hook is a verify hook.
func (h *Hook) mails() bool { return !h.Own && (h.Name == "verify" || h.Name == "verification") }

func (h *Hook) is(name string) bool { return !h.Own && h.Name == name }

// behind finds hooks that never run.
func (c *Config) behind(l *list) {
	type pair struct{ h, by *Hook }
	strategies := map[pair][]string{}
	var order []pair
	for _, chain := range c.Chains {
		for i, h := range chain.Hooks {
			if by := chain.Behind[i]; by != nil {
				p := pair{h, by}
				if strategies[p] == nil {
					order = append(order, p)
				}
				strategies[p] = append(strategies[p], chain.Strategy)
			}
		}
	}
	for _, p := range order {
		whom := "never runs"
		if s := strategies[p]; p.h.Strategy == "" && !slices.Contains(s, "") {
			whom = "does not run for " + strings.Join(s, ", ")
		}
		switch {
		case p.by.Phase == Before:
			l.hook(p.h, Note, "never-runs", "take the redirect out when the flow is to be open again",
				"hook %q %s: the redirect at %s answers every request to the flow before it", p.h.Name, whom, p.by.Where)
		case p.h.Flow == "login" && p.h.is("session"):
			l.hook(p.h, Warning, "login-unsigned", "move it in front of the redirect",
				"the session hook %s, since the redirect at %s answers before it: who signs in stays signed out, unless the handler issues the session", whom, p.by.Where)
		default:
			l.hook(p.h, Warning, "never-runs", "move it in front of the redirect, or remove it",
				"hook %q %s: the redirect at %s always answers before it", p.h.Name, whom, p.by.Where)
		}
	}
}

// closed finds redirects that answer before anything is saved.
func (c *Config) closed(l *list) {
	c.each(func(h *Hook, in *Chain) {
		flow := h.Flow
		if h.Strategy != "" {
			flow += " by " + h.Strategy
		}
		switch {
		case !h.redirects():
		case h.Phase == Before:
			l.hook(h, Note, "closed", "take it out when the flow is to be open again",
				"%s is closed: every request to it is redirected to %s", h.Flow, h.Target)
		case h.Phase != BeforePersist:
		case h.Flow == "login":
			l.hook(h, Warning, "login-unsigned", "remove phase: before_persist, and who has signed in is redirected with the session",
				"%s is answered by this redirect before a session is issued: who signs in stays signed out", flow)
		case h.Flow == "registration" && c.signedInFirst(h):
			l.hook(h, Warning, "closed", "write phase: after to greet who has registered; to close registration, use a redirect under before",
				"it is written behind session, but a redirect here answers before anything is saved, as in Kratos: %s is closed, and session never runs", flow)
		case h.Flow == "registration":
			l.hook(h, Warning, "closed", "write phase: after to greet who has registered; to close registration, use a redirect under before",
				"%s is closed: this redirect answers before the identity is saved", flow)
		default:
			l.hook(h, Warning, "closed", "remove phase: before_persist, and the redirect comes after saving",
				"%s saves nothing: this redirect answers before", flow)
		}
	})
}

// signedInFirst says whether a session hook is written in front of a registration's redirect.
func (c *Config) signedInFirst(redirect *Hook) bool {
	return slices.ContainsFunc(c.Hooks, func(h *Hook) bool {
		return h.is("session") && h.Flow == redirect.Flow && h.Strategy == redirect.Strategy && h.Seq < redirect.Seq
	})
}

// registered finds what tells whether an account exists.
func (c *Config) registered(l *list) {
	c.each(func(h *Hook, in *Chain) {
		if h.Flow != "registration" || !h.is("session") {
			return
		}
		severity, also := Warning, ""
		if c.File.Mitigate.Node != nil {
			severity, also = Error, ", and security.account_enumeration.mitigate asks for the opposite"
		}
		l.hook(h, severity, "enumeration", "have the new user sign in, or confirm the address first (verify)",
			"who registers with an address that is taken gets no session cookie, and so learns that the account exists%s", also)
	})
}

// locked finds hooks of the host's own that others wait for.
func (c *Config) locked(l *list) {
	if !c.Store {
		return
	}
	c.each(func(h *Hook, in *Chain) {
		if !h.Own || h.Phase != After {
			return
		}
		for _, chain := range c.Chains { // in some chain it may stand in front of one
			j := slices.Index(chain.Hooks, h)
			if j < 0 || chain.Behind[j] != nil {
				continue
			}
			for k, later := range chain.Hooks[j+1:] {
				if !later.Own && !later.redirects() && chain.Behind[j+1+k] == nil {
					l.hook(h, Warning, "slow-lock", "put it behind the built-in hooks; what waits for another service belongs at before_persist, or into AfterCommit",
						"hook %q runs inside the transaction, with the identity locked, in front of %q: as long as it takes, whatever else is saved for this user waits", h.Name, later.Name)
					return
				}
			}
		}
	})
}

// revoked finds what signs out the user who has just changed something.
func (c *Config) revoked(l *list) {
	c.each(func(h *Hook, _ *Chain) {
		if h.Flow == "settings" && h.is("revoke_active_sessions") {
			l.hook(h, Note, "signs-out", "have the handler set x.Session to the session in use",
				"who changes settings is signed out here too, unless the handler sets x.Session")
		}
	})
}

// late finds timeouts that come too late.
func (c *Config) late(l *list) {
	c.each(func(h *Hook, _ *Chain) {
		if h.Phase == Failed && h.Timeout > 10e9 {
			l.hook(h, Warning, "long-timeout", "at most 10s",
				"the timeout of %s has no effect: the hooks at failed have 10 seconds in all", h.Timeout)
		}
	})
}
