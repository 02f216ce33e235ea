package conf

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// A File is the part of a file that flowhook uses.
type File struct {
	Entries  []Entry  // in the order of the file
	Secrets  []Secret // the list that signs the session cookie
	Session  Session
	CookieAt CookieAt

	Verification, Recovery Emails

	Returns    []Return // at most one per flow and strategy
	Allowed    []Value  // the allowed return URLs; all are strings
	AllowedAt  Value    // their list, which may be empty
	Mitigate   Value    // security.account_enumeration.mitigate, if it is true
	AcceptAt   Value    // flowhook.accept
	Accepted   []Value  // the rules in it; not checked
	Enabled    []Flag
	Overruled  []Overruled
	Unresolved []Value // strings in configs of hooks that name a variable in an unknown notation
	Nested     []Nested
	Extend     Value     // session.earliest_possible_extend
	Kratos     bool      // the file has a key that only Kratos uses
	Problems   []Problem // in the order of the file
	references References
}

// Emails are what the file says about the emails of a flow.
type Emails struct {
	URL      Value // ui_url, where links point; not checked
	Code     Value // use, if it is code; otherwise, the emails have links
	Lifespan time.Duration
}

// use reads whether emails have links or codes.
func (l *layout) use(v Value, to *Emails) {
	valid := func(s string) bool { return s == "link" || s == "code" }
	if l.word(v, valid, "link or code", "write link or code") == "code" {
		to.Code = v
	}
}

// ReservedFlow reports whether a flow cannot have this name, because a key beside the flows has it.
func ReservedFlow(name string) bool {
	return name == "" || strings.HasPrefix(name, "default_") ||
		slices.Contains(below["selfservice"], name) || slices.Contains(kratosPages, name)
}

// ReservedStrategy reports whether a strategy cannot have this name, because a key beside the
// strategies has it.
func ReservedStrategy(name string) bool {
	return name == "" || name == "hooks" || strings.HasPrefix(name, "default_")
}

// A layout reads one file.
type layout struct {
	reader
	flows, strategies []string
	found             map[string][]found // by path in [settings]
	hasURLs           bool               // there is a section urls
	file              File
}

// Read reads the file that [Parse] returned as root. Flows and strategies that are not listed are
// unknown. The references are those of [ResolveReferences].
func Read(root Value, flows, strategies []string, references References) *File {
	l := &layout{
		flows: flows, strategies: strategies, found: map[string][]found{},
		file: File{Session: defaultSession, references: references},
	}
	if root.Node != nil {
		bad := l.top(root)
		l.file.Nested = l.nested(root, bad)
	}
	l.settings()
	l.checkCookie()
	l.accept()
	if len(l.problems) > 0 { // Check does not report findings then, and a hint may be wrong because of Nested
		for _, n := range l.file.Nested {
			l.wrong(n.At, n.Hint, "%s", n.Problem)
		}
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	l.file.Problems = l.problems
	return &l.file
}

func (l *layout) selfservice(v Value) {
	known := l.flowKeys(false)
	maps.Copy(known, letBe(below["selfservice"]...))
	known["flows"] = func(v Value) { l.each(v, "flow", l.flowKeys(true)) }
	if v.Get("flows").Node != nil {
		for _, name := range l.flows {
			known[name] = func(v Value) { l.wrong(v.atKey(), "move it into selfservice.flows", "a flow beside flows") }
		}
	}
	for _, name := range longTops {
		if v.Get(name).Node != nil {
			known[name] = l.tooDeep
		}
	}
	l.find(v, "", "", "selfservice")
	l.each(v, "flow", known)
}

// tooDeep reports a key that belongs at the top level.
func (l *layout) tooDeep(v Value) {
	l.wrong(v.atKey(), "move it to the top level", "%q is a key of the top level", v.key.Value)
}

// flowKeys returns the flows, and the pages of Kratos beside them. Nested means below flows.
func (l *layout) flowKeys(nested bool) keys {
	known := keys{}
	for _, name := range slices.Concat(l.flows, kratosPages) {
		known[name] = func(v Value) { l.flow(v, name, nested) }
	}
	return known
}

func (l *layout) flow(v Value, name string, nested bool) {
	isPage := slices.Contains(kratosPages, name)
	own := "selfservice.flows." + name
	known := letBe(slices.Concat(below[flowPath], below[own])...)
	for _, in := range []string{"before", "after", "failed"} {
		known[in] = func(v Value) {
			switch {
			case isPage:
				l.wrong(v.atKey(), "flows: "+strings.Join(l.flows, ", "), "%q is no flow that has hooks", name)
			case in == "before" && name == "settings" && !nested:
				l.wrong(v.atKey(), "they do in the layout with selfservice.flows", "settings flows do not have before hooks")
			default:
				l.point(v, Entry{Flow: name, In: in})
			}
		}
	}
	known["before_persist"] = l.notAPhaseKey
	if !isPage {
		l.find(v, name, "", flowPath, own)
	}
	l.each(v, "key", known)
}

// point reads the hooks of a phase, or of a strategy in it. They are a list, or a mapping that has
// the list under hooks.
func (l *layout) point(v Value, e Entry) {
	if v.Kind != yaml.MappingNode {
		l.hooks(v, e)
		return
	}
	what, known := "key", keys{}
	if e.In == "after" { // elsewhere, a return URL would have no effect
		known = letBe(kratosReturn...)
		known["before_persist"] = l.notAPhaseKey
		l.returns(v, Return{Flow: e.Flow, Strategy: e.Strategy})
	}
	known["hooks"] = func(v Value) { l.hooks(v, e) }
	if hook := v.Get("hook").Node; hook != nil && hook.Kind == yaml.ScalarNode {
		known["hook"] = func(v Value) { l.wrong(v.atKey(), `hooks are a list: write "- hook"`, "a hook outside of a list") }
		known["config"], known["phase"], known["timeout"] = nil, nil, nil
	}
	for _, name := range l.strategies {
		switch {
		case e.In != "before" && e.Strategy == "":
			what = "strategy or key"
			known[name] = func(v Value) { l.point(v, Entry{Flow: e.Flow, In: e.In, Strategy: name}) }
		case v.Get(name).Node != nil:
			known[name] = func(v Value) { l.wrong(v.atKey(), "write the hooks without it", "no strategy can stand here") }
		}
	}
	l.each(v, what, known)
}

func (l *layout) notAPhaseKey(v Value) {
	l.wrong(v.atKey(), "write the hook under after, with phase: before_persist in its entry", "before_persist is no key")
}

func (l *layout) hooks(v Value, e Entry) {
	for _, item := range l.list(v, "a list of hooks") {
		if l.is(item, "a mapping with the key hook") {
			l.entry(item, e)
		}
	}
}

func (l *layout) entry(v Value, e Entry) {
	before := len(l.problems)
	l.each(v, "key", keys{
		"hook": func(v Value) {
			if l.is(v, "a string") {
				e.Hook = v
			}
		},
		"config": func(v Value) {
			l.is(v, "a mapping")
			l.unresolved(v)
			e.Config = v
		},
		"phase": func(v Value) {
			known := []string{"before_persist", "after"}
			switch {
			case !l.is(v, "a string"):
			case e.In != "after":
				l.wrong(v, "remove it", "an entry has a phase only within after")
			case !slices.Contains(known, v.Value):
				l.unknown(v, "phase", known)
			default:
				e.Phase = v.Value
			}
		},
		"timeout": func(v Value) {
			d, err := time.ParseDuration(v.Value)
			switch {
			case !l.is(v, "a string such as 2s"):
			case err != nil && isReference(v.Value):
				l.wrong(v, notHere, isNotResolved)
			case err != nil || d <= 0:
				l.wrong(v, "write it as in 2s or 500ms", "not a duration above zero")
			default:
				e.Timeout, e.TimeoutAt = d, v
			}
		},
	})
	e.Broken = len(l.problems) > before
	if e.Hook.Node != nil {
		l.file.Entries = append(l.file.Entries, e)
	} else if !e.Broken {
		l.wrong(v, `add the key "hook"`, "an entry without a hook")
	}
}
