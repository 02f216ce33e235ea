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
	Warnings int     // of all findings
	Notes    int     // the rest of them
	Settings []found // those that no hook is to blame for
	Title    string
	File     string    // how the file differs from the running configuration; may be empty
	Recorder *Recorder // nil: no figures
}

type flow struct {
	ID, Name string
	Lanes    []*lane
}

// A lane is how a flow goes by one strategy.
type lane struct {
	plan.Lane
	ID     string
	Steps  []*step
	Failed *step // nil: no hooks there

	answered string // the target of the redirect that has answered by the last step; "": none
	closed   bool   // it did so before anything was saved
	mails    bool   // a verify hook runs
	own      bool   // a hook of the host's own runs
	number   int    // of the last item
	recorder *Recorder
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
	Stats *stats // nil: not recorded
	Found []found
}

// A found is a finding. That of a flow-wide hook is spelled out once.
type found struct {
	flowhook.Finding
	In    *lane  // where it is spelled out; nil: here
	Place string // where it is to be mended; "": at its hook
}

func newView(pl *flowhook.Plan, opts Options) *view {
	v := &view{Style: template.CSS(style), Title: opts.Title, Recorder: opts.Recorder, File: compare(opts.File, pl.Hash())}
	v.fill(pl, pl.Findings())
	return v
}

// compare says in one sentence whether a file differs from the running configuration. It returns ""
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
		return "The file differs from the running configuration: it is not loaded yet, or was rejected."
	}
	return "The file is the running configuration."
}

func (v *view) fill(pl *flowhook.Plan, findings []flowhook.Finding) {
	chains := map[flowhook.Point][]flowhook.HookInfo{}
	strategies := map[flowhook.Flow][]string{} // those that have hooks of their own
	var flows []flowhook.Flow
	beside := map[flowhook.Finding]bool{}
	for point, hooks := range pl.Points() {
		chains[point] = hooks
		if !slices.Contains(flows, point.Flow) {
			flows = append(flows, point.Flow)
		}
		own := string(point.Strategy)
		if known := strategies[point.Flow]; own != "" && !slices.Contains(known, own) {
			strategies[point.Flow] = append(known, own)
		}
		for _, h := range hooks {
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
		for _, lay := range plan.Lanes(string(name), strategies[name]) {
			l := &lane{Lane: lay, ID: fmt.Sprintf("%s-lane-%d", f.ID, len(f.Lanes)+1), recorder: v.Recorder, spelled: spelled}
			l.lay(name, chains)
			f.Lanes = append(f.Lanes, l)
		}
		v.Flows = append(v.Flows, f)
	}
}
