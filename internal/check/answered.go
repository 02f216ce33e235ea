package check

import (
	"iter"
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// A lost hook does not run, because a redirect always answers before it.
type lost struct {
	hook     *conf.Entry
	by       *conf.Entry // the redirect
	strategy string      // that the hook does not run for; empty if it never runs
}

// lost returns the lost hooks. A hook that does not run for several strategies is returned for each.
func (c *Config) lost() iter.Seq[lost] {
	return func(yield func(lost) bool) {
		never := map[*conf.Entry]bool{}
		for _, chain := range c.Chains {
			for i, h := range chain.Hooks {
				by := chain.AnsweredBy[i]
				if by == nil || never[h] {
					continue
				}
				l := lost{h, by, chain.Strategy}
				if chain.Strategy == h.Strategy { // lost in its own chain, so in all others, too
					never[h], l.strategy = true, ""
				}
				if !yield(l) {
					return
				}
			}
		}
	}
}

// runs says in what way the hook does not run.
func (l lost) runs() string {
	if l.strategy == "" {
		return "never runs"
	}
	return "does not run for " + l.strategy
}

// hint returns the change that makes the hook run. It does not fit a redirect at before.
func (l lost) hint() string {
	switch {
	case l.by.Phase != l.hook.Phase:
		return "write phase: after in the redirect's entry, and move the redirect after this hook"
	case l.strategy != "":
		return "add it to the list of " + l.strategy + ", before the redirect"
	}
	return "move it before the redirect, or remove it"
}

// unsigned reports whether a login stays without its session.
func (l lost) unsigned() bool {
	return l.hook.Flow == "login" && l.hook.Is("session") && l.by.Phase != plan.Before
}

func neverRuns(c *Config, r *report) {
	for l := range c.lost() {
		switch {
		case l.unsigned(): // login-unsigned
		case l.by.Phase == plan.Before:
			r.hook(l.hook, "remove the redirect to reopen the flow",
				"hook %q %s: the redirect at %s answers every request to the flow before it",
				l.hook.Name(), l.runs(), l.by.Where()).Severity = Note
		default:
			f := r.hook(l.hook, l.hint(), "hook %q %s: the redirect at %s always answers before it",
				l.hook.Name(), l.runs(), l.by.Where())
			if l.hook.Redirects() && l.strategy != "" { // the strategy has a redirect of its own
				f.Severity = Note
			}
		}
	}
}

func loginUnsigned(c *Config, r *report) {
	for l := range c.lost() {
		if l.unsigned() {
			r.hook(l.hook, l.hint(), "the session hook %s, because the redirect at %s always answers before it: "+
				"a user who signs in stays signed out unless the handler issues the session", l.runs(), l.by.Where())
		}
	}
	for h := range c.reached() {
		if h.Redirects() && h.Phase == plan.BeforePersist && h.Flow == "login" {
			r.hook(h, "remove phase: before_persist to redirect after the session is issued",
				"this redirect answers %s before a session is issued: a user who signs in stays signed out", by(h))
		}
	}
}

// closed finds redirects that answer before anything is saved.
func closed(c *Config, r *report) {
	const greet = "write phase: after to greet new users; to close registration, use a redirect under before"
	for h := range c.reached() {
		switch {
		case !h.Redirects():
		case h.Phase == plan.Before:
			r.hook(h, "remove the redirect to reopen the flow",
				"%s is closed: every request to it is redirected to %s", h.Flow, h.Leads()).Severity = Note
		case h.Phase != plan.BeforePersist:
		case h.Flow == "login": // login-unsigned
		case h.Flow == "registration" && c.signedInFirst(h):
			r.hook(h, greet, "%s is closed and session never runs: this redirect is written after session but, "+
				"as in Kratos, answers before the identity is saved", by(h))
		case h.Flow == "registration":
			r.hook(h, greet, "%s is closed: this redirect answers before the identity is saved", by(h))
		default:
			r.hook(h, "remove phase: before_persist to redirect after saving",
				"%s saves nothing: this redirect answers before the data is saved", by(h))
		}
	}
}

// by returns the flow of a hook, and its strategy if it has one.
func by(h *conf.Entry) string {
	if h.Strategy == "" {
		return h.Flow
	}
	return h.Flow + " by " + h.Strategy
}

// signedInFirst reports whether a session hook is written before a redirect, in the same list.
func (c *Config) signedInFirst(redirect *conf.Entry) bool {
	return slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool {
		return h.Is("session") && h.Flow == redirect.Flow && h.Strategy == redirect.Strategy && h.Seq < redirect.Seq
	})
}
