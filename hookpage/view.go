package hookpage

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/plan"
)

// A view is what the page shows.
type view struct {
	Style    template.CSS `json:"-"`
	Title    string       `json:"title"`
	Status   *status      `json:"status"`
	Lanes    []*lane      `json:"lanes"`
	Without  []string     `json:"flows_without_hooks"`
	Warnings int          `json:"warnings"` // the number of findings that are not notes
	Notes    int          `json:"notes"`    // the number of notes
	Settings []*found     `json:"settings"` // the findings that are about no hook
	DryRun   *dryRun      `json:"dry_run"`  // nil: the query asks for none
	Recorder *Recorder    `json:"-"`        // nil: no figures

	Flows      []string `json:"-"` // that have hooks
	Strategies []string `json:"-"` // that have hooks of their own in some flow
	selected   *lane    // by the query; nil: none
	kratos     bool     // the file looks like one of Kratos
}

// A lane is one way through a flow, from the request to the answer.
type lane struct {
	Key      string  `json:"lane"` // for the query
	Flow     string  `json:"flow"`
	Strategy string  `json:"strategy"` // "" for those without hooks of their own
	Title    string  `json:"title"`    // as in "registration by password"
	Row      string  `json:"-"`        // as in "registration · password"
	Summary  string  `json:"summary"`
	Closed   string  `json:"closed"` // the target of the redirect that answers before anything is saved; "": none
	Steps    []*step `json:"steps"`
	Failed   *step   `json:"failed"` // nil: no hooks at failed

	ID       string `json:"-"`
	Open     bool   `json:"-"`
	First    bool   `json:"-"` // of its flow
	Refusals uint64 `json:"-"` // the number of runs that refused
	Fails    uint64 `json:"-"` // the number of runs that failed
	Alarms   int    `json:"-"` // the number of findings that are not notes

	answered  string // the target of the redirect that has answered by the last step; "": none
	emails    bool   // a hook that runs sends email
	mayAnswer bool   // a hook that may answer runs
	gated     bool   // one runs before save
	follows   bool   // a redirect of the flow follows return_to
	number    int    // of the last item
	own       []string
	view      *view
	shown     map[flowhook.Finding]*lane // the lane that shows the finding in full
}

// A step is a titled box of items.
type step struct {
	Class string  `json:"-"`
	Title string  `json:"title"`
	Phase string  `json:"phase"`
	Text  string  `json:"text"`
	Start int     `json:"-"` // the number of the first item
	Items []*item `json:"items"`
}

// An item is a hook, or something that the service does itself.
type item struct {
	Hook  *hook  `json:"hook,omitempty"`
	Who   string `json:"who,omitempty"`
	Text  string `json:"text,omitempty"`
	Never bool   `json:"never"`
	Lit   bool   `json:"lit"`            // the dry run gets here
	Tried string `json:"then,omitempty"` // what happens here in the dry run

	kind kind
}

// A kind tells apart what the service does.
type kind int

const (
	plain     kind = iota
	theSave        // save, or the commit
	theEmails      // that waited for the commit
	theAnswer
)

// A hook is one hook of a chain.
type hook struct {
	Name     string        `json:"name"`
	Text     string        `json:"description"`
	Config   string        `json:"config"`
	Position string        `json:"position"`
	Wide     bool          `json:"flow_wide"`
	Never    bool          `json:"never_runs"`
	Timeout  time.Duration `json:"timeout_ns"`
	Stats    *stats        `json:"figures"` // nil: not recorded
	Found    []*found      `json:"findings"`

	info flowhook.HookInfo
}

// A found is a finding. If several lanes have it, one shows it in full and the others link to it.
type found struct {
	Severity string `json:"severity"`
	Rule     string `json:"rule"`
	Problem  string `json:"problem"`
	Hint     string `json:"hint"`
	Place    string `json:"at"` // what to change; "": the hook itself
	In       *lane  `json:"-"`  // the lane that shows it in full; nil: this one
	Folded   bool   `json:"-"`
}

func newView(pl *flowhook.Plan, opts Options) *view {
	v := &view{Style: template.CSS(style), Title: opts.Title, Recorder: opts.Recorder,
		Lanes: []*lane{}, Without: []string{}, Settings: []*found{}}
	v.addFindings(pl)
	v.addLanes(pl)
	return v
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
	all := pl.Findings()
	v.kratos = slices.ContainsFunc(all, func(f flowhook.Finding) bool { return strings.HasPrefix(f.Rule, "kratos-") })
	for _, f := range all {
		if f.Severity == flowhook.SeverityNote {
			v.Notes++
		} else {
			v.Warnings++
		}
		if !ofHook[f] {
			v.Settings = append(v.Settings, v.newFound(f, cmp.Or(f.Position.String(), f.Path), nil))
		}
	}
}

// newFound returns a finding. Notes about Kratos are folded unless the file looks like one of its own.
func (v *view) newFound(f flowhook.Finding, place string, in *lane) *found {
	folded := f.Severity == flowhook.SeverityNote && strings.Contains(f.Rule, "kratos-") && !v.kratos
	return &found{f.Severity.String(), f.Rule, f.Problem, f.Hint, place, in, folded}
}

// addLanes adds the lanes of the flows that have hooks.
func (v *view) addLanes(pl *flowhook.Plan) {
	chains := map[flowhook.Point][]flowhook.HookInfo{}
	strategies := map[string][]string{} // the strategies with hooks of their own, by flow
	follows := map[string]bool{}
	for point, hooks := range pl.Points() {
		chains[point] = hooks
		flow, s := string(point.Flow), string(point.Strategy)
		if !slices.Contains(v.Flows, flow) {
			v.Flows = append(v.Flows, flow)
		}
		if s != "" && !slices.Contains(strategies[flow], s) {
			strategies[flow] = append(strategies[flow], s)
		}
		if s != "" && !slices.Contains(v.Strategies, s) {
			v.Strategies = append(v.Strategies, s)
		}
		follows[flow] = follows[flow] || slices.ContainsFunc(hooks,
			func(h flowhook.HookInfo) bool { return h.FollowsReturnTo })
	}
	for _, flow := range pl.Flows() {
		if !slices.Contains(v.Flows, string(flow)) {
			v.Without = append(v.Without, string(flow))
		}
	}
	shown := map[flowhook.Finding]*lane{}
	for _, flow := range v.Flows {
		own := strategies[flow]
		for n, base := range plan.Lanes(flow, own) {
			l := &lane{Key: flow, Flow: flow, Strategy: base.Strategy, Title: base.Title, Row: flow,
				ID: fmt.Sprintf("lane-%d", len(v.Lanes)+1), First: n == 0, follows: follows[flow], own: own,
				view: v, shown: shown, Steps: []*step{}}
			if base.Strategy != "" {
				l.Key += "/" + base.Strategy
			}
			if len(own) > 0 {
				l.Row += " · " + base.Short
			}
			l.build(flowhook.Flow(flow), chains)
			l.summarize()
			v.Lanes = append(v.Lanes, l)
		}
	}
}

// laneOf returns the lane of a flow by a strategy, or nil if the flow has no hooks.
func (v *view) laneOf(flow, strategy string) *lane {
	for _, s := range []string{strategy, ""} {
		if i := slices.IndexFunc(v.Lanes, func(l *lane) bool { return l.Flow == flow && l.Strategy == s }); i >= 0 {
			return v.Lanes[i]
		}
	}
	return nil
}

// selectLane opens the lane that a query names.
func (v *view) selectLane(query url.Values) error {
	key := query.Get("lane")
	if key == "" {
		return nil
	}
	for _, l := range v.Lanes {
		if l.Key == key {
			l.Open, v.selected = true, l
			return nil
		}
	}
	return &badRequest{http.StatusNotFound, "there is no such lane"}
}

// link returns a link to this page with a query of names and values.
func link(pairs ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return "?" + query.Encode()
}
