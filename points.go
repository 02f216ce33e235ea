package flowhook

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/check"
	"github.com/flowhook/flowhook/internal/draw"
	"github.com/flowhook/flowhook/internal/target"
)

// A HookInfo is a hook as it stands in a chain.
type HookInfo struct {
	Name      string        // as in the file
	Position  Position      // where it is configured
	At        Point         // where it is configured: without a strategy, where it is flow-wide
	Own       bool          // it is the host's own, not a built-in one
	Target    string        // of a redirect, which always answers: up to its first ?, # or ;; empty for another hook
	Asks      bool          // of a redirect: it goes where the request's return_to says, if that is allowed
	Timeout   time.Duration // 0: none
	NeverRuns bool          // in this chain: a redirect always answers before it
	Findings  []Finding     // that are about this hook
	Counted   bool          // Options.Count is set
	Counts    Counts        // zero, unless Counted
}

// Counts are how often a hook ran, answered, and failed (by an error, a panic, the end of its goroutine, or an answer that
// cannot be given) since [New], in all chains that it stands in. Reload goes on counting a hook of the same name, in the same
// place among those of its name at its point. An answer counts also where the commit then fails.
type Counts struct{ Runs, Answered, Failed uint64 }

// A shown hook is what Points says of it, and what it is counted by.
type shown struct {
	HookInfo
	counts *counts
}

// Points gives the current configuration: for every flow, its points without a strategy, then, for each strategy that has
// hooks of its own in that flow, those with it, as far as hooks run there, in the order of the phases. The hooks are the
// whole chain, in the order they run. For a strategy that is not among them, the flow-wide points hold. The slices are the
// caller's. Points is safe for concurrent use.
func (p *Pipeline) Points() iter.Seq2[Point, []HookInfo] {
	now := p.current.Load()
	return func(yield func(Point, []HookInfo) bool) {
		for _, c := range now.chains {
			hooks := make([]HookInfo, len(c.Hooks))
			for j, h := range c.Hooks {
				d := now.shown[h.ID]
				hooks[j] = d.HookInfo
				hooks[j].NeverRuns = c.Behind[j] != nil
				hooks[j].Findings = slices.Clone(d.Findings)
				if hooks[j].Counted = d.counts != nil; hooks[j].Counted {
					hooks[j].Counts = Counts{d.counts.runs.Load(), d.counts.answered.Load(), d.counts.failed.Load()}
				}
			}
			if !yield(pointOf(c), hooks) {
				return
			}
		}
	}
}

func pointOf(c check.Chain) Point { return Point{Flow(c.Flow), Phase(c.Phase), Strategy(c.Strategy)} }

// Findings returns what [Config.Check] finds in the current configuration, and what [Pipeline.Reload]
// found by comparing it with the one before.
func (p *Pipeline) Findings() []Finding { return slices.Clone(p.current.Load().findings) }

// String gives the current configuration as a table, for a log or a terminal: a line for each hook of each point.
func (p *Pipeline) String() string { return draw.Table(p.current.Load().chains) }

// Mermaid gives the current configuration as a Mermaid flowchart: a lane for every flow, and for every strategy with hooks of
// its own, from the request to the answer. Where redirects answer is marked, and what they keep from running.
func (p *Pipeline) Mermaid() string { return draw.Mermaid(p.current.Load().chains) }

// describe fills in the plan's chains, and what is shown of their hooks. It gives these, and what they were made from.
func (b *builder) describe() (hooks []*check.Hook, specs []spec) {
	for _, flow := range b.flows {
		for _, phase := range allPhases {
			for _, s := range append([]Strategy{FlowWide}, b.strategies...) {
				for _, h := range b.placed[Point{flow, phase, s}] {
					d := &check.Hook{ID: len(hooks), Flow: string(flow), Phase: string(phase), Strategy: string(s), Name: h.name,
						Where: h.pos.String(), Own: !slices.Contains(builtinHooks, h.name), Seq: h.seq,
						Timeout: h.spec.timeout, TimeoutAt: h.spec.timeoutAt, Config: h.spec.config, Added: h.pos.File != b.name}
					if h.redirect != nil {
						d.Target, d.Asks, d.To = target.Shown(h.redirect.to), h.redirect.asks, cmp.Or(h.spec.config.Get("to"), h.spec.config.Get("default_redirect_url"))
					}
					hooks, specs = append(hooks, d), append(specs, h.spec)
					b.plan.shown = append(b.plan.shown, shown{HookInfo{Name: h.name, Position: h.pos, At: h.spec.point, Own: d.Own,
						Target: d.Target, Asks: d.Asks, Timeout: d.Timeout}, h.counts})
				}
			}
		}
	}
	b.plan.chains = check.Chains(hooks, names(b.flows), names(b.strategies))
	return hooks, specs
}
