package draw

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/flowhook/flowhook/internal/plan"
)

// Mermaid returns a flowchart with the lanes of every flow, from the request to the answer, as
// Pipeline.Complete runs it.
func Mermaid(chains []plan.Chain) string { return (&diagram{}).draw(chains) }

// Lane returns the flowchart of one lane: that of a strategy with hooks of its own in the flow, or
// else that of any other strategy.
func Lane(chains []plan.Chain, flow, strategy string) string {
	var of []plan.Chain
	d := &diagram{oneLane: true}
	for _, c := range chains {
		if c.Flow == flow {
			of = append(of, c)
			if c.Strategy == strategy {
				d.strategy = strategy
			}
		}
	}
	return d.draw(of)
}

func (d *diagram) draw(chains []plan.Chain) string {
	d.line("flowchart TB")
	if len(chains) == 0 {
		d.line("  empty[\"no hooks\"]")
	}
	for len(chains) > 0 {
		n := 0
		for n < len(chains) && chains[n].Flow == chains[0].Flow {
			n++
		}
		d.flow(chains[:n])
		chains = chains[n:]
	}
	d.line("  classDef answers fill:#fde9c9,stroke:#a65e00,color:#000000")
	d.line("  classDef never fill:#eeeeee,stroke:#767676,color:#555555,stroke-dasharray:4")
	return d.text.String()
}

type diagram struct {
	text         strings.Builder
	edges        []string // of the lane; in a subgraph, an edge would pull both of its nodes into it
	nodes, lanes int
	oneLane      bool // draw only the lane of strategy
	strategy     string

	last string // the node drawn last; "" if the lane has none
	live string // the last node that a request reaches
	dead bool   // a redirect has answered, so that the next nodes are not reached
	may  bool   // a hook that a request reaches may answer
}

func (d *diagram) line(format string, args ...any) { fmt.Fprintf(&d.text, format+"\n", args...) }

func (d *diagram) edge(format string, args ...any) {
	d.edges = append(d.edges, fmt.Sprintf(format, args...))
}

// flow draws the lanes of one flow.
func (d *diagram) flow(chains []plan.Chain) {
	var strategies []string
	at := map[[2]string]plan.Chain{} // by phase and strategy
	for _, c := range chains {
		at[[2]string{c.Phase, c.Strategy}] = c
		if n := len(strategies); c.Strategy != "" && (n == 0 || strategies[n-1] != c.Strategy) {
			strategies = append(strategies, c.Strategy)
		}
	}
	for _, l := range plan.Lanes(chains[0].Flow, strategies) {
		if !d.oneLane || l.Strategy == d.strategy {
			d.lane(l, at)
		}
	}
}

func (d *diagram) lane(l plan.Lane, at map[[2]string]plan.Chain) {
	d.lanes++
	d.line("  subgraph lane%d[\" \"]", d.lanes) // the box of the transaction would cover a title
	d.line("    direction LR")
	d.begin(escape(l.Title))
	d.answer(d.hooks(at[[2]string{plan.Before, ""}]))
	d.node("[%s]", "your handler")
	handler := d.last
	d.answer(d.hooks(at[[2]string{plan.BeforePersist, l.Strategy}]))
	closed := d.dead
	d.line("    subgraph transaction%d[\"one transaction\"]", d.lanes)
	d.node("[%s]", "save")
	to := d.hooks(at[[2]string{plan.After, l.Strategy}])
	d.line("    end")
	if !closed {
		d.dead = false
		d.node("[%s]", "commit")
		d.end("your handler answers", to)
	}
	if failed, ok := at[[2]string{plan.Failed, l.Strategy}]; ok {
		d.begin("if it fails")
		d.edge("%s -.-> %s", handler, d.last)
		d.end("your handler answers with the error", d.hooks(failed))
	}
	for _, e := range d.edges {
		d.line("    %s", e)
	}
	d.edges = nil
	d.line("  end")
	if d.lanes > 1 {
		d.line("  lane%d ~~~ lane%d", d.lanes-1, d.lanes) // one below the other, in this order
	}
}

// begin draws a node that follows no other.
func (d *diagram) begin(label string) {
	d.last, d.live, d.dead, d.may = "", "", false, false
	d.node("([%s])", label)
}

// end draws the answer: that of the redirect to a target, or else the handler's.
func (d *diagram) end(label, to string) {
	switch {
	case to != "":
		d.answer(to)
	case d.may:
		d.node("([%s])", label+", unless a hook has answered")
	default:
		d.node("([%s])", label)
	}
}

// node draws a node after the last one. shape has %s for the quoted label.
func (d *diagram) node(shape, label string) {
	id, class := d.id(), ""
	if d.dead {
		class = ":::never"
	}
	d.line("    %s"+shape+"%s", id, `"`+label+`"`, class)
	switch {
	case d.dead:
		d.edge("%s -.-x %s", d.last, id)
	case d.live != "":
		d.edge("%s --> %s", d.live, id)
	}
	if d.last = id; !d.dead {
		d.live = id
	}
}

func (d *diagram) id() string {
	d.nodes++
	return fmt.Sprintf("n%d", d.nodes)
}

// answer draws the answer of a redirect. It draws nothing if to is "".
func (d *diagram) answer(to string) {
	if to == "" {
		return
	}
	if d.may {
		to += ", unless an earlier hook answers"
	}
	id := d.id()
	d.line("    %s([\"302 to %s\"]):::answers", id, escape(to))
	d.edge("%s --> %s", d.live, id)
}

// hooks draws a chain and returns the target of the redirect that answers, or "". Later hooks are
// drawn as not reached.
func (d *diagram) hooks(c plan.Chain) (to string) {
	for i, h := range c.Hooks {
		label := c.Phase + ": " + escape(h.Name())
		if h.Strategy == "" && c.Strategy != "" {
			label += ", flow-wide"
		}
		if h.Timeout > 0 {
			label += ", at most " + h.Timeout.String()
		}
		if c.AnsweredBy[i] != nil {
			label += "<br>never runs"
		}
		if h.Where() != "" {
			label += "<br>" + escape(h.Where())
		}
		d.node("[%s]", label)
		if h.Target != "" && c.AnsweredBy[i] == nil {
			to, d.dead = h.Leads(), true
		}
		d.may = d.may || !d.dead && h.MayAnswer()
	}
	return to
}

// escape writes everything except letters, digits and some characters of paths as Mermaid entities,
// so that a text does not end its label and is not read as syntax, HTML, Markdown or a directive
// (%%{). Mermaid looks for formulas ($$) and icons (fa:fa-car) after decoding entities, so an
// invisible word joiner breaks them up.
func escape(s string) string {
	const joiner = "#8288;"
	var b strings.Builder
	for _, r := range oneLine(s) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" -_./", r):
			b.WriteRune(r)
		case r == '$' || r == ':':
			fmt.Fprintf(&b, "#%d;%s", r, joiner)
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
