package hookpage

import (
	"cmp"
	"fmt"
	"html/template"
	"iter"
	"slices"

	"github.com/flowhook/flowhook"
)

// A view is what the page shows.
type view struct {
	Style    template.CSS
	Flows    []flow
	Warnings int     // of all findings
	Notes    int     // the rest of them
	Settings []found // those that no hook is to blame for
	Counted  bool
}

type flow struct {
	ID, Name string
	Lanes    []*lane
}

// A lane is how a flow goes by one strategy.
type lane struct {
	ID, Title, Short string
	Steps            []*step
	Failed           *step // nil: no hooks there

	answered string // the target of the redirect that has answered by the last step; "": none
	closed   bool   // it did so before anything was saved
	mails    bool   // a verify hook runs
	own      bool   // a hook of the host's own runs
	number   int    // of the last item
	spelled  map[flowhook.Finding]*lane
}

// A step is what happens in one go.
type step struct {
	Class, Title, Phase, Text string
	Start                     int // the number of the first item
	Items                     []item
}

// An item is a hook, or what the service does itself.
type item struct {
	Hook  *hook
	Who   string
	Text  string
	Never bool
}

// A hook is one in a chain.
type hook struct {
	flowhook.HookInfo
	Says  string
	Wide  bool
	Found []found
}

// A found is a finding. That of a flow-wide hook is spelled out once.
type found struct {
	flowhook.Finding
	In    *lane  // where it is spelled out; nil: here
	Place string // where it is to be mended; "": at its hook
}

// A source is a pipeline, or, in a test, one that is reloaded at the worst moment.
type source interface {
	Findings() []flowhook.Finding
	Points() iter.Seq2[flowhook.Point, []flowhook.HookInfo]
}

// newView asks the pipeline. Where it is reloaded meanwhile, it asks again: findings and hooks must belong together.
func newView(p source) *view {
	for {
		findings := p.Findings()
		v := &view{Style: template.CSS(style)}
		v.fill(p, findings)
		if slices.Equal(findings, p.Findings()) {
			return v
		}
	}
}

func (v *view) fill(p source, findings []flowhook.Finding) {
	chains := map[flowhook.Point][]flowhook.HookInfo{}
	strategies := map[flowhook.Flow][]flowhook.Strategy{} // of each flow, those that have hooks of their own
	var flows []flowhook.Flow
	beside := map[flowhook.Finding]bool{}
	for point, hooks := range p.Points() {
		chains[point] = hooks
		if !slices.Contains(flows, point.Flow) {
			flows = append(flows, point.Flow)
		}
		if s := strategies[point.Flow]; point.Strategy != flowhook.FlowWide && !slices.Contains(s, point.Strategy) {
			strategies[point.Flow] = append(s, point.Strategy)
		}
		for _, h := range hooks {
			v.Counted = v.Counted || h.Counted
			for _, f := range h.Findings {
				beside[f] = true
			}
		}
	}
	for _, f := range findings {
		if f.Severity == flowhook.SeverityNote {
			v.Notes++
		} else {
			v.Warnings++
		}
		if !beside[f] {
			v.Settings = append(v.Settings, found{f, nil, cmp.Or(f.Position.String(), f.Path)})
		}
	}
	spelled := map[flowhook.Finding]*lane{}
	for i, name := range flows {
		f := flow{ID: fmt.Sprintf("flow-%d", i+1), Name: string(name)}
		for _, s := range append(strategies[name], flowhook.FlowWide) {
			l := &lane{ID: fmt.Sprintf("%s-lane-%d", f.ID, len(f.Lanes)+1), spelled: spelled}
			l.lay(name, s, len(strategies[name]) > 0, chains)
			f.Lanes = append(f.Lanes, l)
		}
		v.Flows = append(v.Flows, f)
	}
}
