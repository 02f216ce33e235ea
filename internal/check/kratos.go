package check

import (
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// kratosFlowWide finds flow-wide hooks that Kratos would not run, because the strategy has a list.
func kratosFlowWide(c *Config, r *report) {
	strategies := map[*conf.Entry][]string{}
	var order []*conf.Entry
	for _, chain := range c.Chains {
		if chain.Strategy == "" || chain.Phase == plan.Failed || !c.listed(chain.Flow, chain.Strategy) {
			continue
		}
		for i, h := range chain.Hooks {
			if h.Strategy == "" && !h.Added && chain.AnsweredBy[i] == nil {
				if strategies[h] == nil {
					order = append(order, h)
				}
				strategies[h] = append(strategies[h], chain.Strategy)
			}
		}
	}
	for _, h := range order {
		r.hook(h, "if it must not run there, move it to the lists of the other strategies",
			"flow-wide hook %q also runs for %s; in Kratos, the list of a strategy replaces the flow-wide one",
			h.Name(), strings.Join(strategies[h], ", "))
	}
}

// listed reports whether a strategy has a list of its own in the file, under after.
func (c *Config) listed(flow, strategy string) bool {
	return slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool {
		return h.Flow == flow && h.Strategy == strategy && h.Phase != plan.Failed && !h.Added
	})
}

// kratosSessionLast finds session hooks that Kratos would run last. It does so at registration only.
func kratosSessionLast(c *Config, r *report) {
	for h, in := range c.reached() {
		if h.Flow != "registration" || !h.Is("session") || h.Added {
			continue
		}
		for i := slices.Index(in.Hooks, h) + 1; i < len(in.Hooks); i++ {
			later := in.Hooks[i]
			if later.Strategy == h.Strategy && !later.Is("session") && !later.Added && in.AnsweredBy[i] == nil {
				r.hook(h, "move it to the end to run it last here, too",
					"session runs before %q, as written; Kratos runs it last", later.Name())
				break
			}
		}
	}
}

func kratosVerification(c *Config, r *report) {
	for _, flag := range c.File.Enabled {
		flows := c.unverified()
		if flag.On && flag.Flow == "verification" && len(flows) > 0 {
			what := strings.Join(flows, " and ")
			r.value(flag.Value, "add a verify hook at after of "+what,
				"with this setting, Kratos emails a verification link at %s; here only a verify hook does", what)
		}
	}
}

// unverified returns the flows at which Kratos sends a verification link by itself, but that have no
// verify hook.
func (c *Config) unverified() (flows []string) {
	for _, flow := range []string{"registration", "settings"} {
		verifies := func(h *conf.Entry) bool { return h.Flow == flow && h.Is("verify") }
		if c.Serves(flow, "") && !slices.ContainsFunc(c.Hooks, verifies) {
			flows = append(flows, flow)
		}
	}
	return flows
}

func kratosEnabled(c *Config, r *report) {
	for _, flag := range c.File.Enabled {
		if !flag.On && c.Serves(flag.Flow, "") && !c.closedBefore(flag.Flow) {
			r.value(flag.Value, "add a redirect at before of "+flag.Flow+", or remove this setting and the routes",
				"Kratos closes %s with this setting; here it has no effect, and anyone who reaches your routes can use the flow",
				flag.Flow)
		}
	}
}

// closedBefore reports whether a redirect answers every request to a flow.
func (c *Config) closedBefore(flow string) bool {
	return slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool {
		return h.Flow == flow && h.Phase == plan.Before && h.Redirects()
	})
}

func kratosExtend(c *Config, r *report) {
	if c.File.Extend.Node == nil {
		return
	}
	problem, hint := "Kratos can extend a session within this time before it expires; here this has no effect", "remove it"
	if c.Issues {
		problem += ", and every session ends session.lifespan after the sign-in"
		hint += ", and set session.lifespan to how long a sign-in should last"
	}
	r.value(c.File.Extend, hint, "%s", problem)
}
