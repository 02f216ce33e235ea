package hookpage

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"os"
	"slices"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/plan"
)

// A view is what the page shows.
type view struct {
	Style    template.CSS
	Flows    []flow
	Warnings int     // the number of findings that are not notes
	Notes    int     // the number of notes
	Settings []found // the findings that are about no hook
	Title    string
	File     string    // whether the file matches the running configuration; may be empty
	Recorder *Recorder // nil: no figures
}

type flow struct {
	ID, Name string
	Lanes    []*lane
}

// A lane is one way through a flow, from the request to the answer.
type lane struct {
	plan.Lane
	ID     string
	Steps  []*step
	Failed *step // nil: no hooks at failed

	answered  string // the target of the redirect that has answered by the last step; "": none
	closed    bool   // a redirect answered before anything was saved
	emails    bool   // a hook that runs sends email
	mayAnswer bool   // a hook that may answer runs
	number    int    // of the last item
	recorder  *Recorder
	shown     map[flowhook.Finding]*lane // the lane that shows the finding in full
}

// A step is a titled box of items.
type step struct {
	Class, Title, Phase, Text string
	Start                     int // the number of the first item
	Items                     []item
}

// An item is a hook, or something that the service does itself.
type item struct {
	Hook  *hook
	Who   string
	Text  string
	Never bool
}

// A hook is one hook of a chain.
type hook struct {
	flowhook.HookInfo
	Text  string
	Wide  bool
	Stats *stats // nil: not recorded
	Found []found
}

// A found is a finding. If several lanes have it, one shows it in full and the others link to it.
type found struct {
	flowhook.Finding
	In    *lane  // the lane that shows it in full; nil: this one
	Place string // what to change; "": the hook itself
}

func newView(pl *flowhook.Plan, opts Options) *view {
	v := &view{
		Style:    template.CSS(style),
		Title:    opts.Title,
		File:     compare(opts.File, pl.Hash()),
		Recorder: opts.Recorder,
	}
	v.addFindings(pl)
	v.addFlows(pl)
	return v
}

// compare describes in one sentence whether a file matches the running configuration. It returns ""
// if there is no file.
func compare(file, hash string) string {
	if file == "" {
		return ""
	}
	data, err := os.ReadFile(file)
	sum := sha256.Sum256(data)
	switch {
	case err != nil:
		return "The file cannot be read."
	case hex.EncodeToString(sum[:]) != hash:
		return "The file differs from the running configuration: it has not been loaded yet, or it was rejected."
	}
	return "The file matches the running configuration."
}

// addFindings counts the findings and adds those that are about no hook.
func (v *view) addFindings(pl *flowhook.Plan) {
	ofHook := map[flowhook.Finding]bool{}
	for _, hooks := range pl.Points() {
		for _, h := range hooks {
			for _, f := range h.Findings {
				ofHook[f] = true
			}
		}
	}
	for _, f := range pl.Findings() {
		if f.Severity == flowhook.SeverityNote {
			v.Notes++
		} else {
			v.Warnings++
		}
		if !ofHook[f] {
			v.Settings = append(v.Settings, found{f, nil, cmp.Or(f.Position.String(), f.Path)})
		}
	}
}

// addFlows adds the flows that have hooks, with their lanes.
func (v *view) addFlows(pl *flowhook.Plan) {
	chains := map[flowhook.Point][]flowhook.HookInfo{}
	strategies := map[flowhook.Flow][]string{} // the strategies with hooks of their own
	var flows []flowhook.Flow
	for point, hooks := range pl.Points() {
		chains[point] = hooks
		if !slices.Contains(flows, point.Flow) {
			flows = append(flows, point.Flow)
		}
		strategy, known := string(point.Strategy), strategies[point.Flow]
		if strategy != "" && !slices.Contains(known, strategy) {
			strategies[point.Flow] = append(known, strategy)
		}
	}
	shown := map[flowhook.Finding]*lane{}
	for i, name := range flows {
		f := flow{ID: fmt.Sprintf("flow-%d", i+1), Name: string(name)}
		for n, base := range plan.Lanes(string(name), strategies[name]) {
			id := fmt.Sprintf("%s-lane-%d", f.ID, n+1)
			l := &lane{Lane: base, ID: id, recorder: v.Recorder, shown: shown}
			l.build(name, chains)
			f.Lanes = append(f.Lanes, l)
		}
		v.Flows = append(v.Flows, f)
	}
}
