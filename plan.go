package flowhook

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/draw"
	"github.com/flowhook/flowhook/internal/plan"
	"github.com/flowhook/flowhook/internal/token"
)

// A Plan is one configuration, ready to run: its chains and its findings. It never changes and is
// safe for concurrent use.
type Plan struct {
	pipeline *Pipeline
	loaded   time.Time
	hash     string
	root     conf.Value // of the file
	flows    []Flow     // that the service has

	served  map[Flow]map[Strategy]*chains // what runs
	tokens  *tokens                       // nil if sessions are not configured
	codes   []token.CodeKey
	returns returns

	starters []Starter // to be told when the plan becomes the current one

	verification, recovery mailing

	chains   []plan.Chain // what is shown
	findings []Finding
	about    map[*conf.Entry][]Finding
}

// Plan returns the current configuration. A later Reload does not change it.
func (p *Pipeline) Plan() *Plan { return p.current.Load() }

// A HookInfo describes one hook of a chain.
type HookInfo struct {
	// Name is the hook's name in the file.
	Name string

	// Description says in one sentence what the hook does: of a built-in hook its own description,
	// of another one that of its [Describer], or "".
	Description string

	// Target is where a redirect goes, up to the first ?, # or ;. It is empty for every other hook.
	Target string

	// VerificationPage is where require_verified_address and show_verification_ui redirect, up to the
	// first ?, # or ;. It is empty for every other hook.
	VerificationPage string

	// Position is where the hook is configured.
	Position Position

	// Point is the point that the hook is configured at. Its Strategy is empty for a flow-wide
	// hook.
	Point Point

	// Custom reports whether the hook is the host's own, not a built-in one.
	Custom bool

	// FollowsReturnTo reports whether a redirect goes where the request's return_to says, if that
	// is allowed.
	FollowsReturnTo bool

	// NeverRuns reports whether a redirect always answers before the hook in this chain.
	NeverRuns bool

	// Timeout is the entry's timeout. Zero means none.
	Timeout time.Duration

	// Config is the entry's config as one line of YAML, or "". References such as ${NAME} are as
	// they are written. <hidden-value> replaces what may be a secret: every value whose key, or a
	// key above it, sounds like one, and every text that is not a plain word or a duration. A URL
	// keeps its host, and the target of a built-in hook its path, and its query if that is one
	// lower-case word, such as ?saved.
	Config string

	// Findings are those about this hook.
	Findings []Finding
}

// Points returns all chains that have hooks: for each flow the flow-wide ones, then those of each
// strategy that has hooks of its own in the flow, in the order of the phases. The hooks of a chain
// are in the order they run: the strategy's, then the flow-wide ones. A strategy that is not
// returned runs the flow-wide chains. The caller may change the slices.
func (pl *Plan) Points() iter.Seq2[Point, []HookInfo] {
	return func(yield func(Point, []HookInfo) bool) {
		for _, c := range pl.chains {
			hooks := make([]HookInfo, len(c.Hooks))
			for i, e := range c.Hooks {
				hooks[i] = pl.info(e)
				hooks[i].NeverRuns = c.AnsweredBy[i] != nil
			}
			if !yield(Point{Flow(c.Flow), Phase(c.Phase), Strategy(c.Strategy)}, hooks) {
				return
			}
		}
	}
}

func (pl *Plan) info(e *conf.Entry) HookInfo {
	return HookInfo{
		Name:             e.Name(),
		Description:      e.Description,
		Target:           e.Target,
		VerificationPage: e.VerificationPage,
		Position:         position(e),
		Point:            pointOf(e),
		Custom:           e.Custom(),
		FollowsReturnTo:  e.FollowsReturnTo,
		Timeout:          e.Timeout,
		Config:           e.Redacted(),
		Findings:         slices.Clone(pl.about[e]),
	}
}

// Findings returns the findings of [Config.Check], and those of [Pipeline.Reload] that compare the
// configuration with the one before it. The caller may change the slice.
func (pl *Plan) Findings() []Finding { return slices.Clone(pl.findings) }

// String returns a table for a log or a terminal, with one line for each hook of each chain.
func (pl *Plan) String() string { return draw.Table(pl.chains) }

// Mermaid returns a Mermaid flowchart of the named flows, or of all flows if none is named. It has
// a lane for each flow, and for each strategy with hooks of its own, from the request to the
// answer. It marks the redirects, and the hooks that never run because of them.
func (pl *Plan) Mermaid(flows ...Flow) string {
	chains := pl.chains
	if len(flows) > 0 {
		chains = slices.DeleteFunc(slices.Clone(chains), func(c plan.Chain) bool {
			return !slices.Contains(flows, Flow(c.Flow))
		})
	}
	return draw.Mermaid(chains)
}

// MermaidLane returns the part of [Plan.Mermaid] that is about one strategy of a flow. With
// [FlowWide], or a strategy without hooks of its own in the flow, it is the lane of all such
// strategies.
func (pl *Plan) MermaidLane(flow Flow, s Strategy) string {
	return draw.Lane(pl.chains, string(flow), string(s))
}

// AllowsReturnTo reports whether a request's return_to may be to. See [Pipeline.ReturnURL] for the
// rule.
func (pl *Plan) AllowsReturnTo(to string) bool { return pl.returns.allowed.Allows(to) }

// Flows returns the flows that the service has, with or without hooks: the built-in ones and those of
// Options.Flows or, if Options.Serves is set, those in it. The caller may change the slice.
func (pl *Plan) Flows() []Flow { return slices.Clone(pl.flows) }

// ChangedKeys returns the keys of the YAML whose values differ in other, such as session.lifespan. It
// compares what is written: a reference such as ${NAME} does not differ from itself. A list is one
// value. A key that is no plain word is <hidden-value>.
func (pl *Plan) ChangedKeys(other *Plan) []string { return conf.ChangedKeys(pl.root, other.root) }

// Loaded returns when the configuration was loaded by New or Reload. It is zero for a plan of
// [Pipeline.Preview].
func (pl *Plan) Loaded() time.Time { return pl.loaded }

// Hash returns the SHA-256 of the configuration's YAML, in hexadecimal. It is empty for a Config
// that was not read from YAML.
func (pl *Plan) Hash() string { return pl.hash }

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
