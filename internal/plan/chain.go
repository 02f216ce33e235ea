// Package plan computes the chains of a configuration: which hooks run at a point, in which order,
// and which never run. The run, Check, the table, the diagram and the hook page all go by it.
package plan

import (
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
)

// The phases in the order they happen. Failed is instead of After, if something fails.
const (
	Before        = "before"
	BeforePersist = "before_persist"
	After         = "after"
	Failed        = "failed"
)

// A Chain is the hooks of a point in the order they run: the strategy's, then the flow-wide ones.
type Chain struct {
	Flow, Phase, Strategy string

	Hooks []*conf.Entry

	// AnsweredBy has, for each hook, the redirect that always answers before it. It is nil for a
	// hook that runs.
	AnsweredBy []*conf.Entry
}

// Chains returns the chains that have hooks: for each flow the flow-wide ones, then those of each
// strategy that has hooks of its own in the flow. Other strategies run the flow-wide chains. At
// Before there are only flow-wide chains. entries are in the order they are written.
func Chains(entries []*conf.Entry, flows, strategies []string) (all []Chain) {
	type point struct{ flow, phase, strategy string }
	at := map[point][]*conf.Entry{}
	has := map[[2]string]bool{} // by flow and strategy
	for _, e := range entries {
		p := point{e.Flow, e.Phase, e.Strategy}
		at[p] = append(at[p], e)
		has[[2]string{e.Flow, e.Strategy}] = true
	}
	for _, flow := range flows {
		for _, s := range append([]string{""}, strategies...) {
			if s != "" && !has[[2]string{flow, s}] {
				continue
			}
			var answered *conf.Entry
			for _, phase := range []string{Before, BeforePersist, After, Failed} {
				if phase == Failed {
					answered = nil
				}
				c := Chain{Flow: flow, Phase: phase, Strategy: s, Hooks: slices.Clone(at[point{flow, phase, s}])}
				if s != "" {
					c.Hooks = append(c.Hooks, at[point{flow, phase, ""}]...)
				}
				for _, e := range c.Hooks {
					c.AnsweredBy = append(c.AnsweredBy, answered)
					if answered == nil && e.Redirects() {
						answered = e
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
