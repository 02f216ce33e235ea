package flowhook

import (
	"context"
	"fmt"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
)

// A servedFlow is a flow of the service, with its chains for each strategy and for FlowWide.
type servedFlow struct {
	name Flow
	by   map[Strategy]*chains
}

// chains are the four chains of one flow and strategy.
type chains struct {
	before, beforePersist, after, failed chain

	follows  bool // a redirect in the flow goes where the request's return_to says
	flowWide bool // a run with this strategy is allowed at every phase, not only at Before
}

// at returns the chain of a phase. It is nil if c is nil or the phase does not exist.
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

// link tells the chain at After which chains must run before it. wide has the flow-wide chains of
// the same flow.
func (c *chains) link(wide *chains) {
	if len(wide.before.hooks) > 0 {
		c.after.before = &wide.before
	}
	if gate := &c.beforePersist; gate.own() {
		c.after.gates = append(c.after.gates, gate)
	}
	if gate := &wide.beforePersist; len(gate.hooks) > 0 {
		c.after.gates = append(c.after.gates, gate)
	}
}

// A chain is the hooks of one point in the order they run.
type chain struct {
	point  Point
	hooks  []hook
	writes bool // it runs in a transaction: it is at After and has a hook that is not a redirect

	wide   *chain   // the flow-wide chain of the same flow and phase, which may be this one
	before *chain   // at After: the flow's chain at Before, if it has hooks
	gates  []*chain // at After: the chains at BeforePersist that have hooks
}

func newChain(at Point, hooks []hook, wide *chain) chain {
	c := chain{point: at, hooks: hooks, wide: wide}
	for _, h := range hooks {
		c.writes = c.writes || at.Phase == After && !h.entry.Redirects()
	}
	return c
}

// own reports whether the chain of a strategy has hooks of that strategy.
func (c *chain) own() bool {
	return c.point.Strategy != FlowWide && len(c.hooks) > 0 && c.hooks[0].entry.Strategy != ""
}

// A hook is one configured hook, ready to run.
type hook struct {
	run   Hook // wrapped by Options.Wrap
	entry *conf.Entry
}

func (h *hook) position() Position { return position(h.entry) }

// A timed hook has a timeout. The run waits for it however late it is, because its work must end
// before anything else can happen to the exchange.
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
	return fmt.Errorf("not done within its timeout of %s: %w (%w)", h.timeout, late, err) // err need not mention it
}

// A judged hook is what Options.Wrap gets. It returns the pipeline's verdict, so that a wrap sees
// an answer or a Refusal that cannot be sent as the error that it is.
type judged struct{ Hook }

func (h *judged) Run(ctx context.Context, x *Exchange) error {
	if err := h.Hook.Run(ctx, x); err != nil {
		return sound(err)
	}
	if x.untouched() {
		return nil
	}
	_, err := x.answer()
	return err
}
