// Package check says what a configuration will do that its reader may not expect. It knows the hooks by their names and
// places, not what they are: package flowhook describes its chains to it.
package check

import (
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
)

// The phases, in the order they come to pass. What failed runs beside them.
const (
	Before        = "before"
	BeforePersist = "before_persist"
	After         = "after"
	Failed        = "failed"
)

// A Hook is one that is configured.
type Hook struct {
	ID                    int // the caller's
	Seq                   int // in the order they are written
	Flow, Phase, Strategy string
	Name                  string
	Where                 string // its position, in words
	Own                   bool   // it is the host's own, not built in
	Target                string // of a redirect, which always answers; "": another hook
	Asks                  bool   // it goes where the request says, if that is allowed
	To                    conf.Value
	Timeout               time.Duration
	TimeoutAt             conf.Value
	Config                conf.Value
	Added                 bool // by the host, in Go: it is not in the file
}

func (h *Hook) redirects() bool { return h.Target != "" }

// Leads says where a redirect goes.
func (h *Hook) Leads() string {
	if h.Asks {
		return h.Target + " or return_to"
	}
	return h.Target
}

func (h *Hook) is(name string) bool { return !h.Own && h.Name == name }

// mails says whether a hook is a verify hook.
func (h *Hook) mails() bool { return h.is("verify") || h.is("verification") }

// A Chain is the hooks of a point in the order they run: the strategy's, then the flow-wide ones.
type Chain struct {
	Flow, Phase, Strategy string
	Hooks                 []*Hook
	Behind                []*Hook // for each: the redirect that always answers before it; nil: it runs
}

// Chains gives the chains of every flow, without a strategy and for each one that has hooks of its own there, as far as
// they have hooks. hooks of one point stand in their order.
func Chains(hooks []*Hook, flows, strategies []string) (all []Chain) {
	at := map[[3]string][]*Hook{}
	for _, h := range hooks {
		key := [3]string{h.Flow, h.Phase, h.Strategy}
		at[key] = append(at[key], h)
	}
	for _, flow := range flows {
		for _, s := range append([]string{""}, strategies...) {
			if s != "" && !slices.ContainsFunc(hooks, func(h *Hook) bool { return h.Flow == flow && h.Strategy == s }) {
				continue
			}
			var by *Hook // what everything after it waits for in vain
			for _, phase := range []string{Before, BeforePersist, After, Failed} {
				if phase == Failed {
					by = nil
				}
				c := Chain{Flow: flow, Phase: phase, Strategy: s, Hooks: slices.Clone(at[[3]string{flow, phase, s}])}
				if s != "" {
					c.Hooks = append(c.Hooks, at[[3]string{flow, phase, ""}]...)
				}
				for _, h := range c.Hooks {
					c.Behind = append(c.Behind, by)
					if by == nil && h.redirects() {
						by = h
					}
				}
				if len(c.Hooks) > 0 && (s == "" || phase != Before) {
					all = append(all, c)
				}
			}
		}
	}
	return all
}
