package hookpage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/conf"
)

// A status is what the page shows above the lanes.
type status struct {
	Now     time.Time   `json:"now"`
	Started time.Time   `json:"started"` // when Handler was called
	Loaded  time.Time   `json:"loaded"`
	Hash    string      `json:"sha256"` // of the running file; "": it was not read from YAML
	File    *fileStatus `json:"file"`   // nil: not compared
	Reload  reload      `json:"last_reload"`
	Refusal *incident   `json:"last_refusal"` // nil: no hook has refused, or it is not recorded
	Failure *incident   `json:"last_failure"` // likewise
}

// A reload is how the last reload ended.
type reload struct {
	At     time.Time `json:"at,omitzero"` // zero: none since the start
	Errors []string  `json:"errors"`      // why it was rejected; none: it was accepted
}

// A start is the state when Handler was called.
type start struct {
	at     time.Time
	reload time.Time // the last one, or New
}

// An incident is a refusal or a failure of a hook.
type incident struct {
	Lane  *lane     `json:"-"`    // nil: the flow has no hooks any more
	Key   string    `json:"lane"` // "" without Lane
	Title string    `json:"-"`
	Hook  string    `json:"hook"`
	Point string    `json:"point"`
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"` // error, panic, timeout, canceled or refused
}

func newStatus(p *flowhook.Pipeline, pl *flowhook.Plan, v *view, opts Options, begin start) *status {
	s := &status{Now: time.Now(), Started: begin.at, Loaded: pl.Loaded(), Hash: pl.Hash(),
		Reload: reload{Errors: []string{}}}
	if r := opts.Recorder; r != nil {
		refusal, failure := r.last()
		s.Refusal, s.Failure = v.shown(refusal), v.shown(failure)
	}
	if at, err := p.LastReload(); err != nil || !at.Equal(begin.reload) {
		s.Reload.At = at
		s.Reload.Errors = errorTexts(err)
	}
	if opts.File != "" {
		s.File = compare(p, pl, opts)
	}
	return s
}

// Ago returns how long ago a time was, as in "5m ago".
func (s *status) Ago(t time.Time) string {
	switch d := s.Now.Sub(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour") + " ago"
	default:
		return count(int(d/(24*time.Hour)), "day") + " ago"
	}
}

// Short returns the beginning of the hash.
func (s *status) Short() string { return s.Hash[:min(12, len(s.Hash))] }

// shown returns what the page shows about an event, or nil if there is none.
func (v *view) shown(e *event) *incident {
	if e == nil {
		return nil
	}
	i := &incident{Hook: e.name, Point: e.point.String(), At: e.at, Kind: e.kind}
	if l := v.laneOf(string(e.point.Flow), string(e.by)); l != nil {
		i.Lane, i.Key, i.Title = l, l.Key, l.Title
		if e.point.Phase == flowhook.Before { // of all lanes of the flow
			i.Title = l.Flow
		}
	}
	return i
}

// A fileStatus is how the file on disk differs from the running configuration.
type fileStatus struct {
	Path     string   `json:"path"`
	Same     bool     `json:"same"`
	Changes  []change `json:"changes"`  // of hooks
	Keys     []string `json:"keys"`     // whose values differ
	Errors   []string `json:"errors"`   // why a reload would reject the file
	Findings []string `json:"findings"` // if a reload would accept it
}

// A change is a point whose hooks differ. Empty means that it has no hooks.
type change struct {
	Point   string `json:"point"`
	Running string `json:"running"`
	File    string `json:"file"`
}

func compare(p *flowhook.Pipeline, pl *flowhook.Plan, opts Options) *fileStatus {
	s := &fileStatus{Path: opts.File, Changes: []change{}, Keys: []string{}, Errors: []string{}, Findings: []string{}}
	data, err := read(opts.File)
	if sum := sha256.Sum256(data); err == nil && hex.EncodeToString(sum[:]) == pl.Hash() {
		s.Same = true
		return s
	}
	cfg, err := opts.Load()
	if err == nil && cfg == nil {
		err = errors.New("flowhook: load returned no configuration") // as ReloadFrom says
	}
	var onDisk *flowhook.Plan
	if err == nil {
		onDisk, err = p.Preview(cfg)
	}
	if err != nil {
		s.Errors = errorTexts(err)
		return s
	}
	s.Keys = append(s.Keys, pl.ChangedKeys(onDisk)...)
	for _, f := range onDisk.Findings() {
		s.Findings = append(s.Findings, f.String())
	}
	running, points := inFile(pl)
	there, more := inFile(onDisk)
	for _, at := range append(points, more...) {
		if was, is := running[at], there[at]; was != is {
			s.Changes = append(s.Changes, change{at, was, is})
			running[at] = is // reported
		}
	}
	return s
}

// read reads as much of a file as LoadConfig would.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, conf.MaxSize+1))
}

// inFile returns the hooks of each point that a file configures, in words, and the points in order.
func inFile(pl *flowhook.Plan) (hooks map[string]string, points []string) {
	hooks = map[string]string{}
	for at, chain := range pl.Points() {
		for _, h := range chain {
			if h.Point != at || h.Position.Column == 0 { // another point has it, or the host added it
				continue
			}
			text := h.Name
			if h.Config != "" {
				text += " " + h.Config
			}
			if h.Timeout > 0 {
				text += ", at most " + h.Timeout.String()
			}
			if hooks[at.String()] == "" {
				points = append(points, at.String())
			} else {
				text = " → " + text
			}
			hooks[at.String()] += text
		}
	}
	return hooks, points
}

// errorTexts returns the texts of errors that [errors.Join] has joined, or else the text of err.
func errorTexts(err error) []string {
	if err == nil {
		return []string{}
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		var texts []string
		for _, e := range list.Unwrap() {
			if e != nil {
				texts = append(texts, e.Error())
			}
		}
		if len(texts) > 0 && strings.Join(texts, "\n") == err.Error() { // another error has a text of its own
			return texts
		}
	}
	return []string{err.Error()}
}
