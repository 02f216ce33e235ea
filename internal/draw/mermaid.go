package draw

import (
	"fmt"
	"strings"

	"github.com/flowhook/flowhook/internal/check"
)

// Mermaid gives a flowchart with a lane for every flow, and for every strategy that has hooks of its own there: from the
// request, phase by phase, to the answer. An empty one has no lanes.
func Mermaid(chains []check.Chain) string {
	d := &diagram{}
	d.line("flowchart TB")
	for i, c := range chains {
		if i > 0 && chains[i-1].Flow == c.Flow && chains[i-1].Strategy == c.Strategy {
			continue
		}
		lane := map[string]check.Chain{}
		for _, other := range chains {
			if other.Flow == c.Flow && (other.Strategy == c.Strategy || other.Phase == check.Before) {
				lane[other.Phase] = other
			}
		}
		d.lane(c.Flow, c.Strategy, lane)
	}
	d.line("  classDef answers fill:#fde9c9,stroke:#a65e00,color:#000")
	d.line("  classDef never fill:#eeeeee,stroke:#999999,color:#666666,stroke-dasharray:4")
	return d.text.String()
}

type diagram struct {
	text  strings.Builder
	nodes int
	last  string // the node that the next one comes after; "": none
	arrow string
}

func (d *diagram) line(format string, args ...any) { fmt.Fprintf(&d.text, format+"\n", args...) }

// node draws one, with an arrow from the last. Shape has %s for the quoted label.
func (d *diagram) node(shape, label, class string) {
	d.nodes++
	id := fmt.Sprintf("n%d", d.nodes)
	d.line("    %s"+shape+"%s", id, `"`+label+`"`, class)
	if d.last != "" {
		d.line("    %s %s %s", d.last, d.arrow, id)
	}
	d.last, d.arrow = id, "-->"
}

func (d *diagram) lane(flow, strategy string, phases map[string]check.Chain) {
	title := flow
	if strategy != "" {
		title += " by " + strategy
	}
	d.nodes++
	d.line("  subgraph lane%d[\"%s\"]", d.nodes, escape(title))
	d.line("    direction LR")
	d.last = ""
	d.node("([%s])", "request", "")
	d.hooks("before: ", phases[check.Before])
	d.node("[%s]", "handler", "")
	d.hooks("before_persist: ", phases[check.BeforePersist])
	d.node("[%s]", "save", "")
	d.hooks("after: ", phases[check.After])
	d.node("([%s])", "commit, answer", "")
	if failed, ok := phases[check.Failed]; ok {
		d.last = ""
		d.node("([%s])", "failure", "")
		d.hooks("failed: ", failed)
		d.node("([%s])", "the handler answers", "")
	}
	d.line("  end")
}

// hooks draws a chain. A redirect ends in the place that it leads to; what comes after it is drawn, but not reached.
func (d *diagram) hooks(phase string, c check.Chain) {
	for i, h := range c.Hooks {
		label, class := escape(phase+h.Name), ""
		if h.Timeout > 0 {
			label += ", at most " + h.Timeout.String()
		}
		if h.Where != "" {
			label += "<br>" + escape(h.Where)
		}
		if c.Behind[i] != nil {
			class = ":::never"
			d.arrow = "-.-x"
		}
		d.node("[%s]", label, class)
		if h.Target != "" && c.Behind[i] == nil {
			hook := d.last
			d.arrow = "-->"
			d.node("([%s])", "302 "+escape(h.Target), ":::answers")
			d.last, d.arrow = hook, "-.-x"
		}
	}
}

// escape keeps a label's text from ending it, or from being read as markup.
func escape(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "`", "#96;").Replace(oneLine(s))
}
