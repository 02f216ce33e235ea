package check

import (
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
)

// kratos finds what Ory Kratos would have done differently with the same file. It finds nothing in a
// file that shows no sign of Kratos.
func (c *Config) kratos(l *list) {
	if !c.File.Kratos {
		return
	}
	c.replaced(l)
	c.last(l)
	for _, flag := range c.File.Enabled {
		switch {
		case flag.On && flag.Flow == "verification":
			if flows := c.silent(); len(flows) > 0 {
				what := strings.Join(flows, " and ")
				l.setting(Place{Value: flag.Value}, Warning, "kratos-verification", "add - hook: verify at after of "+what,
					"Kratos mails a verification link at %s where this is on; here nobody gets one there without a verify hook", what)
			}
		case !flag.On && c.Serves(flag.Flow, "") && !c.closedBefore(flag.Flow):
			l.setting(Place{Value: flag.Value}, Warning, "kratos-enabled", "put a redirect at before of "+flag.Flow+", or remove this and leave the routes out",
				"Kratos closes %s by this; here it has no effect, and anyone who reaches the service's routes gets in", flag.Flow)
		}
	}
	if c.File.Extend.Node != nil {
		problem, hint := "Kratos can extend a session during this time before it expires; here this has no effect", "remove it"
		if c.Issues {
			problem += ", and every session ends session.lifespan after the sign-in"
			hint += ", and set session.lifespan to how long a sign-in should last"
		}
		l.setting(Place{Value: c.File.Extend}, Warning, "kratos-extend", hint, "%s", problem)
	}
}

// silent gives the flows at which Kratos mails a verification link by itself, and that have no hook for it here.
func (c *Config) silent() (flows []string) {
	for _, flow := range []string{"registration", "settings"} {
		if c.Serves(flow, "") && !slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool { return h.Flow == flow && h.Is("verify") }) {
			flows = append(flows, flow)
		}
	}
	return flows
}

// closedBefore says whether a redirect answers every request to a flow.
func (c *Config) closedBefore(flow string) bool {
	return slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool { return h.Flow == flow && h.Phase == plan.Before && h.Redirects() })
}

// replaced finds flow-wide hooks that Kratos would not have run.
func (c *Config) replaced(l *list) {
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
		l.hook(h, Note, "kratos-flow-wide", "if it is not to run there, move it into the lists of the other strategies",
			"flow-wide hook %q runs for %s too; in Kratos, the list of a strategy replaces the flow-wide one", h.Name(), strings.Join(strategies[h], ", "))
	}
}

// listed says whether a strategy has a list of its own in the file, under after.
func (c *Config) listed(flow, strategy string) bool {
	return slices.ContainsFunc(c.Hooks, func(h *conf.Entry) bool {
		return h.Flow == flow && h.Strategy == strategy && h.Phase != plan.Failed && !h.Added
	})
}

// last finds session hooks that Kratos would have moved. It has them at registration only.
func (c *Config) last(l *list) {
	c.each(func(h *conf.Entry, in *plan.Chain) {
		if h.Flow != "registration" || !h.Is("session") || h.Added {
			return
		}
		for i := slices.Index(in.Hooks, h) + 1; i < len(in.Hooks); i++ {
			later := in.Hooks[i]
			if later.Strategy == h.Strategy && !later.Is("session") && !later.Added && in.AnsweredBy[i] == nil {
				l.hook(h, Note, "kratos-session-last", "put it last, if the others are to come first",
					"session runs before %q, as written; Kratos moves it behind all others", later.Name())
				return
			}
		}
	})
}
