package check

import (
	"slices"
	"strings"
)

// kratos finds what Ory Kratos would have done differently with the same file.
func (c *Config) kratos(l *list) {
	c.replaced(l)
	c.last(l)
	for _, flag := range c.File.Enabled {
		switch {
		case flag.Flow == "verification" && flag.On && !slices.ContainsFunc(c.Hooks, (*Hook).mails):
			l.setting(Place{Value: flag.Value}, Warning, "kratos-verification", "add - hook: verify at after of registration and settings",
				"Kratos mails a verification link to whoever registers where this is on; here nobody gets a mail without a verify hook")
		case !flag.On:
			l.setting(Place{Value: flag.Value}, Warning, "kratos-enabled", "leave the routes out, or put a redirect at before of "+flag.Flow,
				"Kratos closes %s by this; here it has no effect, and whoever reaches the service's routes gets in", flag.Flow)
		}
	}
}

// replaced finds flow-wide hooks that Kratos would not have run.
func (c *Config) replaced(l *list) {
	strategies := map[*Hook][]string{}
	var order []*Hook
	for _, chain := range c.Chains {
		if chain.Strategy == "" || chain.Phase == Failed || !c.listed(chain.Flow, chain.Strategy) {
			continue
		}
		for i, h := range chain.Hooks {
			if h.Strategy == "" && chain.Behind[i] == nil {
				if strategies[h] == nil {
					order = append(order, h)
				}
				strategies[h] = append(strategies[h], chain.Strategy)
			}
		}
	}
	for _, h := range order {
		l.hook(h, Note, "kratos-flow-wide", "to keep it from there, write it into the lists of the other strategies",
			"flow-wide hook %q runs for %s too; in Kratos, the list of a strategy replaces the flow-wide one", h.Name, strings.Join(strategies[h], ", "))
	}
}

// listed says whether a strategy has a list of its own under after.
func (c *Config) listed(flow, strategy string) bool {
	return slices.ContainsFunc(c.Hooks, func(h *Hook) bool { return h.Flow == flow && h.Strategy == strategy && h.Phase != Failed })
}

// last finds session hooks that Kratos would have moved.
func (c *Config) last(l *list) {
	c.each(func(h *Hook, in *Chain) {
		if !h.is("session") {
			return
		}
		i := slices.Index(in.Hooks, h)
		for _, later := range in.Hooks[i+1:] {
			if later.Strategy == h.Strategy && !later.is("session") {
				l.hook(h, Note, "kratos-session-last", "put it last, if the others are to come first",
					"session runs before %q, as written; Kratos moves it behind all others", later.Name)
				return
			}
		}
	})
}
