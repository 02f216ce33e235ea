package check

import (
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
)

// proven are the strategies that prove who owns an address before the registration. So nobody can
// register with the address of another user.
var proven = []string{"oidc", "saml", "code", "link"}

func enumeration(c *Config, r *report) {
	for h := range c.reached() {
		if h.Flow != "registration" || !h.Is("session") || slices.Contains(proven, h.Strategy) {
			continue
		}
		const hint = "remove it, and have new users sign in or confirm their address (verify)"
		const problem = "this reveals whether an account exists: without a session cookie, the address was already taken"
		if c.File.Mitigate.Node != nil {
			r.hook(h, hint, problem+", and security.account_enumeration.mitigate asks for the opposite").Severity = Error
		} else {
			r.hook(h, hint, problem)
		}
	}
}

// signsOut finds a revoke_active_sessions that also revokes the session in use.
func signsOut(c *Config, r *report) {
	for h := range c.reached() {
		if h.Flow == "settings" && h.Is("revoke_active_sessions") {
			r.hook(h, "in the handler, set x.Session to the session in use",
				"a user who changes settings is also signed out of this browser, unless the handler sets x.Session")
		}
	}
}

// strategyOnly finds a revoke_active_sessions that runs for some login strategies and not for
// others. It reports the first one only.
func strategyOnly(c *Config, r *report) {
	var first *conf.Entry
	revokes := map[string]bool{}
	for h := range c.reached() {
		if h.Flow == "login" && h.Is("revoke_active_sessions") {
			revokes[h.Strategy] = true
			if first == nil || h.Seq < first.Seq {
				first = h
			}
		}
	}
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
	whom, hint := or(others), "add it to the flow-wide list"
	if !c.Limited { // no service has all strategies, so do not list them
		whom, hint = "any other strategy", hint+", or list the strategies that you serve in Options.Serves"
		if slices.Contains(others, "totp") {
			whom += ", such as a second factor (totp),"
		}
	}
	r.hook(first, hint, "revoke_active_sessions runs only at a login by %s: "+
		"a login by %s leaves the user's other sessions alive", or(some), whom)
}

// or joins words as "a, b or c".
func or(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// again finds a session or revoke_active_sessions whose work is already done.
func again(c *Config, r *report) {
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
				r.hook(h, "remove one of them", "hook %q does nothing if the one at %s has already run", h.Name(), by.Where())
			}
		}
	}
}
