package check

import (
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// behind finds hooks that never run, or not for some strategies.
func (c *Config) behind(l *list) {
	never := map[*conf.Entry]bool{}
	for _, chain := range c.Chains {
		for i, h := range chain.Hooks {
			if by := chain.AnsweredBy[i]; by != nil && !never[h] { // where it never runs, for no strategy does it
				never[h] = chain.Strategy == h.Strategy
				l.lost(h, by, chain.Strategy, never[h])
			}
		}
	}
}

// lost is about a hook that never runs, or not for a strategy, which has the redirect.
func (l *list) lost(h, by *conf.Entry, strategy string, never bool) {
	whom, hint := "never runs", "move it in front of the redirect, or remove it"
	if !never {
		whom, hint = "does not run for "+strategy, "write it into the list of "+strategy+", in front of the redirect"
	}
	if by.Phase != h.Phase {
		hint = "write phase: after in the redirect's entry, and have it come after this hook"
	}
	switch {
	case by.Phase == plan.Before:
		l.hook(h, Note, "never-runs", "take the redirect out when the flow is to be open again",
			"hook %q %s: the redirect at %s answers every request to the flow before it", h.Name(), whom, by.Where())
	case h.Flow == "login" && h.Is("session"):
		l.hook(h, Warning, "login-unsigned", hint,
			"the session hook %s, since the redirect at %s answers before it: a user who signs in stays signed out, unless the handler issues the session", whom, by.Where())
	default:
		severity := Warning
		if h.Redirects() && !never { // one strategy's redirect instead of the flow-wide one
			severity = Note
		}
		l.hook(h, severity, "never-runs", hint, "hook %q %s: the redirect at %s always answers before it", h.Name(), whom, by.Where())
	}
}

// closed finds redirects that answer before anything is saved.
func (c *Config) closed(l *list) {
	c.each(func(h *conf.Entry, _ *plan.Chain) {
		flow := h.Flow
		if h.Strategy != "" {
			flow += " by " + h.Strategy
		}
		switch {
		case !h.Redirects():
		case h.Phase == plan.Before:
			l.hook(h, Note, "closed", "take it out when the flow is to be open again",
				"%s is closed: every request to it is redirected to %s", h.Flow, h.Leads())
		case h.Phase != plan.BeforePersist:
		case h.Flow == "login":
			l.hook(h, Warning, "login-unsigned", "remove phase: before_persist, and a user who has signed in is redirected with the session",
				"%s is answered by this redirect before a session is issued: a user who signs in stays signed out", flow)
		case h.Flow == "registration" && c.signedInFirst(h):
			l.hook(h, Warning, "closed", "write phase: after to greet users who have registered; to close registration, use a redirect under before",
				"it is written behind session, but a redirect here answers before anything is saved, as in Kratos: %s is closed, and session never runs", flow)
		case h.Flow == "registration":
			l.hook(h, Warning, "closed", "write phase: after to greet users who have registered; to close registration, use a redirect under before",
				"%s is closed: this redirect answers before the identity is saved", flow)
		default:
			l.hook(h, Warning, "closed", "remove phase: before_persist, and the redirect comes after saving",
				"%s saves nothing: this redirect answers before", flow)
		}
	})
}

// signedInFirst says whether a session hook is written in front of a registration's redirect.
func (c *Config) signedInFirst(redirect *conf.Entry) bool {
	return slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool {
		return h.Is("session") && h.Flow == redirect.Flow && h.Strategy == redirect.Strategy && h.Seq < redirect.Seq
	})
}

// proven are the strategies by which nobody registers with the address of another: it is shown to be theirs before.
var proven = []string{"oidc", "saml", "code", "link"}

// registered finds what tells whether an account exists.
func (c *Config) registered(l *list) {
	c.each(func(h *conf.Entry, _ *plan.Chain) {
		if h.Flow != "registration" || !h.Is("session") || slices.Contains(proven, h.Strategy) {
			return
		}
		severity, also := Warning, ""
		if c.File.Mitigate.Node != nil {
			severity, also = Error, ", and security.account_enumeration.mitigate asks for the opposite"
		}
		l.hook(h, severity, "enumeration", "remove it, and have the new user sign in, or confirm the address (verify)",
			"this reveals whether an account exists: without a session cookie, the address was already taken%s", also)
	})
}

// locked finds hooks of the host's own that others wait for. The transaction holds the lock from its first statement to its
// last, so it does not matter where in it they stand. But behind the built-in ones a hook may be meant to see their work;
// in front of them it has no reason to be slow there.
func (c *Config) locked(l *list) {
	found := map[*conf.Entry]bool{}
	for _, chain := range c.Chains {
		if !c.Store || chain.Phase != plan.After {
			continue
		}
		for i, h := range chain.Hooks {
			if !h.Custom() || found[h] || chain.AnsweredBy[i] != nil {
				continue
			}
			for j, later := range chain.Hooks[i+1:] {
				if !later.Custom() && !later.Redirects() && chain.AnsweredBy[i+1+j] == nil {
					found[h] = true
					l.hook(h, Warning, "slow-lock", "what waits for another service belongs at phase: before_persist, or into AfterCommit",
						"hook %q runs inside the transaction, with the identity locked, in front of %q: as long as it takes, whatever else is to be saved for this user waits", h.Name(), later.Name())
					break
				}
			}
		}
	}
}

// revoked finds what signs out the user who has just changed something.
func (c *Config) revoked(l *list) {
	c.each(func(h *conf.Entry, _ *plan.Chain) {
		if h.Flow == "settings" && h.Is("revoke_active_sessions") {
			l.hook(h, Note, "signs-out", "have the handler set x.Session to the session in use",
				"a user who changes settings is signed out of this browser as well, unless the handler sets x.Session")
		}
	})
}

// revokedForSome finds a revoke_active_sessions that runs for some login strategies and not for
// others. It reports the first one only.
func (c *Config) revokedForSome(l *list) {
	var first *conf.Entry
	revokes := map[string]bool{}
	c.each(func(h *conf.Entry, _ *plan.Chain) {
		if h.Flow == "login" && h.Is("revoke_active_sessions") {
			revokes[h.Strategy] = true
			if first == nil || h.Seq < first.Seq {
				first = h
			}
		}
	})
	if first == nil || revokes[""] {
		return
	}
	var some, others []string
	for _, s := range c.Strategies {
		if revokes[s] {
			some = append(some, s)
		} else if c.Serves("login", s) {
			others = append(others, s)
		}
	}
	if len(others) == 0 {
		return
	}
	whom, hint := or(others), "write it into the flow-wide list"
	if !c.Limited { // no service has all strategies, so do not list them
		whom, hint = "any other strategy", hint+", or list the strategies that you serve in Options.Serves"
		if slices.Contains(others, "totp") {
			whom += ", such as a second factor (totp),"
		}
	}
	l.hook(first, Note, "strategy-only", hint,
		"revoke_active_sessions runs only at a login by %s: a login by %s leaves the user's other sessions alive",
		or(some), whom)
}

// or joins words as "a, b or c".
func or(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// gates finds gates at After. A gate is a hook that decides whether the flow may go on.
func (c *Config) gates(l *list) {
	c.each(func(h *conf.Entry, _ *plan.Chain) {
		if h.Phase != plan.After || !decides(h) {
			return
		}
		hint := "write phase: before_persist in its entry"
		if h.Added {
			hint = "add it at before_persist"
		}
		what := "everything is saved by then, and a redirect that it answers with undoes nothing"
		if h.Flow == "login" {
			what = "the user is signed in by then, and a redirect that it answers with carries the session cookie"
		}
		l.hook(h, Warning, "late-gate", hint, "hook %q decides too late: %s", h.Name(), what)
	})
}

// decides reports whether a hook is a gate: it has the name of Kratos' gate, or it is a web_hook with
// a key that makes it one in Kratos.
func decides(h *conf.Entry) bool {
	if h.Name() == "web_hook" {
		return h.Config.Get("can_interrupt").True() || h.Config.Get("response").Get("parse").True()
	}
	return h.Name() == "require_verified_address"
}

// late finds timeouts that come too late.
func (c *Config) late(l *list) {
	for _, h := range c.Hooks {
		if h.Phase == plan.Failed && h.Timeout > 10*time.Second {
			l.hook(h, Warning, "long-timeout", "at most 10s",
				"the timeout of %s has no effect: the hooks at failed have 10 seconds in all", h.Timeout)
			(*l)[len(*l)-1].At = h.TimeoutAt
		}
	}
}

// again finds built-in hooks whose work another one has done.
func (c *Config) again(l *list) {
	found := map[*conf.Entry]bool{}
	for _, chain := range c.Chains {
		done := map[string]*conf.Entry{}
		for i, h := range chain.Hooks {
			by := done[h.Name()]
			switch {
			case chain.AnsweredBy[i] != nil || !h.Is("session") && !h.Is("revoke_active_sessions"):
			case by == nil:
				done[h.Name()] = h
			case !found[h]:
				found[h] = true
				l.hook(h, Note, "again", "remove one of them", "hook %q does nothing where the one at %s has run before it", h.Name(), by.Where())
			}
		}
	}
}
