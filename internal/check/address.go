package check

import (
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// emailSentFirst finds hooks after show_verification_ui, which answers whenever an email was sent.
func emailSentFirst(c *Config, r *report) {
	found := map[*conf.Entry]bool{}
	for _, chain := range c.Chains {
		shows := slices.IndexFunc(chain.Hooks, func(h *conf.Entry) bool { return h.Is("show_verification_ui") })
		if shows < 0 {
			continue
		}
		by := chain.Hooks[shows]
		for i := shows + 1; i < len(chain.Hooks); i++ {
			if h := chain.Hooks[i]; chain.AnsweredBy[i] == nil && !found[h] {
				found[h] = true
				r.hook(h, "move it before show_verification_ui", "hook %q does not run if "+
					"a verification email was sent: show_verification_ui at %s then answers before it",
					h.Name(), by.Where())
			}
		}
	}
}

// recoveryKeepsSessions finds recoveries that end no sessions: OWASP ASVS 5.0, requirement 7.4.3. It
// reports the first hook at after, or else where the URL of the recovery page is set.
func recoveryKeepsSessions(c *Config, r *report) {
	const hint = "add revoke_active_sessions at after of recovery"
	const problem = "a recovery ends no sessions: somebody who has stolen the account stays signed in"
	off := slices.ContainsFunc(c.File.Enabled, func(f conf.Flag) bool { return f.Flow == "recovery" && !f.On })
	closed := slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool {
		return h.Flow == "recovery" && h.Phase == plan.Before && h.Redirects()
	})
	if off || closed {
		return
	}
	var first *conf.Entry
	revokes := map[string]bool{}
	for h := range c.reached() {
		if h.Flow != "recovery" || h.Phase != plan.After {
			continue
		}
		if h.Is("revoke_active_sessions") {
			revokes[h.Strategy] = true
		}
		if first == nil || h.Seq < first.Seq {
			first = h
		}
	}
	strategy := "link"
	if c.File.Recovery.Code.Node != nil {
		strategy = "code"
	}
	switch {
	case revokes[""] || revokes[strategy]:
	case first != nil:
		r.hook(first, hint, problem)
	case c.RecoveryURL == (Place{}) || !c.Serves("recovery", ""): // the flow is not used
	default:
		r.place(c.RecoveryURL, hint, problem)
	}
}

// codePage finds emails with codes, which need another page than emails with links.
func codePage(c *Config, r *report) {
	for _, code := range []conf.Value{c.File.Verification.Code, c.File.Recovery.Code} {
		if code.Node != nil {
			r.value(code, "the page must ask for the code, and its handler call RedeemCode",
				"emails have a code instead of a link")
		}
	}
}
