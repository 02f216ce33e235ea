package flowhook

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// flowChains are the chains of one flow. Few strategies are compared one by one, which every request does and takes less
// time than to hash; of more there is a map.
type flowChains struct {
	name Flow
	few  []*chains
	many map[Strategy]*chains // nil where there are few
}

func (f *flowChains) add(c *chains) {
	if f.few = append(f.few, c); len(f.few) <= 16 {
		return
	}
	if f.many == nil {
		f.many = map[Strategy]*chains{}
	}
	for _, c := range f.few[len(f.many):] {
		f.many[c.strategy] = c
	}
}

// find returns the chains of a flow and strategy, or nil if one of them is not declared.
func (p *plan) find(flow Flow, s Strategy) *chains {
	for i := range p.flows {
		f := &p.flows[i]
		if f.name != flow {
			continue
		}
		if f.many != nil {
			return f.many[s]
		}
		for _, c := range f.few {
			if c.strategy == s {
				return c
			}
		}
	}
	return nil
}

// unknown is the error for a point that has no chain. Only a mistake in the host's code gets here,
// so it need not be fast.
func (p *plan) unknown(at Point) error {
	o := &p.pipeline.options
	problem, hint := unknownName(at, union(builtinFlows, o.Flows), union(builtinStrategies, o.Strategies))
	switch {
	case problem != "":
	case at.Strategy == FlowWide && p.find(at.Flow, FlowWide) != nil:
		problem, hint = "Options.Serves has only strategies of this flow", "pass one of them"
	default:
		problem, hint = "the service does not have it", "add it to Options.Serves"
	}
	return fmt.Errorf("%w: %s: %s; %s", ErrUnknownPoint, at, problem, hint)
}

// chains are those of one flow and strategy.
type chains struct {
	strategy                             Strategy
	before, beforePersist, after, failed chain
	asks                                 bool // there is a redirect that goes where the request says, in a chain of the flow
	partial                              bool // flow-wide, and Options.Serves has only strategies of the flow
}

// at returns the chain of a phase. It is nil if c is, and for a phase that does not exist.
func (c *chains) at(phase Phase) *chain {
	if c == nil {
		return nil
	}
	switch phase {
	case Before:
		return &c.before
	case BeforePersist:
		return &c.beforePersist
	case After:
		return &c.after
	case Failed:
		return &c.failed
	}
	return nil
}

// A chain is the hooks of one point in the order they run: the strategy's, then the flow-wide ones.
type chain struct {
	point    Point
	hooks    []hook
	own      int  // how many of them are the strategy's own; the rest is flow-wide
	gate     bool // at Before and BeforePersist: what comes later looks whether it has run
	writes   bool // at After, with a hook that is not a redirect: it runs in a transaction
	outlives bool // at Failed: it runs even if the request has ended

	wide   *chain   // the flow-wide chain of the same flow and phase; itself, if it is that
	before *chain   // at After: the flow's Before, if it has hooks
	gates  []*chain // at After: those at BeforePersist that have hooks, this strategy's own and flow-wide
}

// A hook is a configured hook with what an error says of it.
type hook struct {
	Hook            // wrapped by Options.Wrap
	name   string   // as in the file
	pos    Position // where it is configured; zero if unknown
	counts *counts  // nil: not counted
}

// counts are what [Counts] shows. A nil one counts nothing.
type counts struct{ runs, answered, failed atomic.Uint64 }

func (c *counts) run() {
	if c != nil {
		c.runs.Add(1)
	}
}

func (c *counts) answer() {
	if c != nil {
		c.answered.Add(1)
	}
}

func (c *counts) fail() {
	if c != nil {
		c.failed.Add(1)
	}
}

// A countKey identifies a hook that is counted, also after a reload.
type countKey struct {
	at   Point
	name string
	nth  int // of that name at that point
}

// A timed hook has a timeout. It is waited for: what it does must end before anything else can happen to the exchange.
type timed struct {
	Hook
	timeout time.Duration
}

func (h *timed) Run(ctx context.Context, x *Exchange) error {
	limited, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	err := h.Hook.Run(limited, x)
	late := limited.Err()
	switch {
	case late == nil || ctx.Err() != nil:
		return err
	case err == nil || err == late:
		return fmt.Errorf("not done within its timeout of %s: %w", h.timeout, late)
	}
	return fmt.Errorf("not done within its timeout of %s: %w (%w)", h.timeout, late, err) // err need not say that it was late
}

// passing marks that the hooks of a chain have run. Those of a strategy include the flow-wide ones.
func (x *Exchange) passing(c *chain) {
	if len(c.hooks) > 0 {
		x.marks.ran = append(x.marks.ran, c)
		if c.wide != c {
			x.marks.ran = append(x.marks.ran, c.wide)
		}
	}
}

// passed returns an error if a chain that comes before c has not run: the flow's Before, or one of the gates.
func (x *Exchange) passed(c *chain, gates []*chain) error {
	if c.before != nil && !slices.Contains(x.marks.ran, c.before) {
		return fmt.Errorf("%w: %s comes before %s and has hooks; wrap the route in Middleware, or run it", ErrPhaseSkipped,
			c.before.point, c.point)
	}
	for _, gate := range gates {
		if !slices.Contains(x.marks.ran, gate) {
			return fmt.Errorf("%w: %s comes before %s and has hooks; use Complete, or run it", ErrPhaseSkipped,
				Point{c.point.Flow, BeforePersist, c.point.Strategy}, c.point)
		}
	}
	return nil
}
