package check

import (
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// slowLock finds hooks of the host's own that run in the transaction before a built-in hook. Hooks
// that implement Finder are left out. The transaction holds the lock from its first statement to its
// last, wherever a hook is in it. But after the built-in hooks it may need their work; before them,
// it has no reason to be there.
func slowLock(c *Config, r *report) {
	if !c.Store {
		return
	}
	found := map[*conf.Entry]bool{}
	for _, chain := range c.Chains {
		if chain.Phase != plan.After {
			continue
		}
		for i, h := range chain.Hooks {
			if !h.Custom() || h.Finder || found[h] || chain.AnsweredBy[i] != nil {
				continue
			}
			if later := builtinAfter(chain, i); later != nil {
				found[h] = true
				r.hook(h, "do slow work, such as a call to another service, at phase: before_persist or in AfterCommit",
					"hook %q runs in the transaction before %q, with the identity locked: "+
						"until it returns, all other changes for this user wait", h.Name(), later.Name())
			}
		}
	}
}

// builtinAfter returns the first built-in hook that runs after the i-th hook and does not only
// redirect.
func builtinAfter(chain plan.Chain, i int) *conf.Entry {
	for j := i + 1; j < len(chain.Hooks); j++ {
		if h := chain.Hooks[j]; !h.Custom() && !h.Redirects() && !h.Is("show_verification_ui") && chain.AnsweredBy[j] == nil {
			return h
		}
	}
	return nil
}

// lateGate finds gates at after. A gate is a hook that decides whether the flow may go on.
func lateGate(c *Config, r *report) {
	for h := range c.reached() {
		if h.Phase != plan.After || !decides(h) {
			continue
		}
		hint := "write phase: before_persist in its entry"
		if h.Is("require_verified_address") {
			r.hook(h, hint, "hook %q is too late to help: it refuses users without a verified address, but sends them no email",
				h.Name())
			continue
		}
		if h.Added {
			hint = "add it at before_persist"
		}
		what := "everything is already saved, and a redirect undoes nothing"
		if h.Flow == "login" {
			what = "the user is already signed in, and a redirect carries the session cookie"
		}
		r.hook(h, hint, "hook %q decides too late: %s", h.Name(), what)
	}
}

// decides reports whether a hook is a gate: it has the name of Kratos' gate, or it is a web_hook with
// a key that makes it one in Kratos.
func decides(h *conf.Entry) bool {
	if h.Name() == "web_hook" {
		return h.Config.Get("can_interrupt").True() || h.Config.Get("response").Get("parse").True()
	}
	return h.Name() == "require_verified_address"
}

func longTimeout(c *Config, r *report) {
	for _, h := range c.Hooks {
		if h.Phase == plan.Failed && h.Timeout > 10*time.Second {
			r.hook(h, "write at most 10s", "the timeout of %s has no effect: all hooks at failed together have 10 seconds",
				h.Timeout).Value = h.TimeoutAt
		}
	}
}
