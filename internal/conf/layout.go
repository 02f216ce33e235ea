package conf

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// A File is what a Doc says, as far as it concerns flowhook.
type File struct {
	Entries   []Entry // in the order of the file
	Secrets   []string
	Session   Session
	VerifyURL Text // the newest ui_url of the verification flow that is there; not checked
	Problems  []Problem
}

// An Entry is a hook as the file has it. What it lacks, or has wrong, is among the Problems.
type Entry struct {
	Flow, Strategy string
	In             string // before, after or failed
	Hook           Text
	Phase          string  // what the entry says, or ""
	Config         *Config // nil where there is none
	Broken         bool    // the config or the phase is wrong: the hook cannot be made
}

// A Text is a string and where it stands.
type Text struct {
	Place
	Value string
}

// The keys that Ory Kratos has in these places, from v0.2 on, and that do not concern flowhook.
var (
	kratosSelfservice = []string{"allowed_return_urls", "default_browser_return_url", "default_return_to", "methods",
		"strategies", "whitelisted_return_urls"}
	kratosFlow = []string{"default_browser_return_url", "default_return_to", "enable_legacy_one_step", "enabled",
		"lifespan", "link_lifespan", "login_hints", "notify_unknown_recipients", "privileged_session_max_age",
		"redirect_to", "request_lifespan", "required_aal", "style", "ui_url", "use"}
	kratosReturn = []string{"default_browser_return_url", "default_return_to"}

	// What Kratos has, or once had, beside the flows, and where no hooks can be.
	kratosPages = []string{"error", "profile", "verify"}

	phases  = []string{"before", "after", "failed"}
	ourTops = []string{"selfservice", "secrets", "session", "cookies", "security"}
)

// ReservedFlow and ReservedStrategy say whether a name means something else where flows or strategies stand.
func ReservedFlow(name string) bool {
	return name == "" || name == "flows" || strings.HasPrefix(name, "default_") ||
		slices.Contains(kratosSelfservice, name) || slices.Contains(kratosPages, name)
}

// ReservedStrategy: see [ReservedFlow].
func ReservedStrategy(name string) bool {
	return name == "" || name == "hooks" || strings.HasPrefix(name, "default_")
}

// A layout reads one file.
type layout struct {
	reader
	flows, strategies []string
	file              File
	name, sameSite    value // of the cookie; the newest
}

// Read interprets the file. flows and strategies are all that there are.
func (d *Doc) Read(flows, strategies []string) *File {
	l := &layout{flows: flows, strategies: strategies}
	l.file.Session = defaultSession
	if d == nil {
		d = &Doc{&yaml.Node{Kind: yaml.MappingNode}}
	}
	l.top(value{d.root, ""})
	l.file.Problems = l.problems
	return &l.file
}

func (l *layout) top(root value) {
	tops := map[string]value{}
	for _, p := range l.mapping(root, "a mapping") {
		tops[p.name] = p.value
		// Kratos' "version" is two edits from "session"; no other key of Kratos' is so close to one of ours.
		if !slices.Contains(ourTops, p.name) && p.name != "version" && nearest(p.name, ourTops) != "" {
			l.unknown(p.key, "key", p.name, ourTops)
		}
	}
	for _, top := range []struct { // what is newer comes later, and wins
		name string
		read func(value)
	}{
		{"urls", func(v value) { l.verifyURL(v, "verify_ui") }},
		{"selfservice", l.selfservice}, {"secrets", l.secrets},
		{"security", l.security}, {"cookies", l.cookies}, {"session", l.session},
	} {
		if v, ok := tops[top.name]; ok {
			top.read(v)
		}
	}
	l.checkCookie()
}

func (l *layout) selfservice(v value) {
	pairs := l.mapping(v, "a mapping")
	nested := slices.ContainsFunc(pairs, func(p pair) bool { return p.name == "flows" })
	for _, p := range pairs {
		switch {
		case p.name == "flows":
			for _, p := range l.mapping(p.value, "a mapping of flows") {
				l.flow(p, true)
			}
		case slices.Contains(kratosSelfservice, p.name):
		case nested && slices.Contains(l.flows, p.name):
			l.wrong(p.key, "move it into selfservice.flows", "a flow beside flows")
		default:
			l.flow(p, false)
		}
	}
}

func (l *layout) flow(p pair, nested bool) {
	page := slices.Contains(kratosPages, p.name)
	if !page && !slices.Contains(l.flows, p.name) {
		known := l.flows
		if !nested {
			known = append(slices.Clip(known), append([]string{"flows"}, kratosSelfservice...)...)
		}
		l.unknown(p.key, "flow", p.name, known)
		return
	}
	for _, k := range l.mapping(p.value, "a mapping") {
		switch {
		case slices.Contains(kratosFlow, k.name):
		case page && slices.Contains(phases, k.name):
			l.wrong(k.key, "flows: "+strings.Join(l.flows, ", "), "%q is no flow that has hooks", p.name)
		case k.name == "before" && p.name == "settings" && !nested:
			l.wrong(k.key, "they do in the layout with selfservice.flows", "settings flows do not have before hooks")
		case k.name == "before":
			l.point(k, Entry{Flow: p.name, In: k.name}, []string{"hooks"}, nil)
		case slices.Contains(phases, k.name):
			l.point(k, Entry{Flow: p.name, In: k.name}, append([]string{"hooks"}, kratosReturn...), l.strategies)
		default:
			l.unknown(k.key, "key", k.name, append(phases[:len(phases):len(phases)], kratosFlow...))
		}
	}
	if p.name == "verification" {
		l.verifyURL(p.value, "ui_url")
	}
}

// point reads the hooks of a phase, or of a strategy in it: a list of them, or a mapping that has one under hooks.
func (l *layout) point(p pair, e Entry, keys, strategies []string) {
	if p.Kind != yaml.MappingNode {
		l.hooks(p.value, e)
		return
	}
	for _, k := range l.mapping(p.value, "a mapping") {
		switch {
		case k.name == "hooks":
			l.hooks(k.value, e)
		case slices.Contains(keys, k.name):
		case slices.Contains(strategies, k.name):
			e := e
			e.Strategy = k.name
			l.point(k, e, keys, nil)
		case strategies != nil:
			l.unknown(k.key, "strategy or key", k.name, append(slices.Clip(strategies), keys...))
		case slices.Contains(l.strategies, k.name):
			l.wrong(k.key, "write the hooks without it", "no strategy can stand here")
		default:
			l.unknown(k.key, "key", k.name, keys)
		}
	}
}

func (l *layout) hooks(v value, e Entry) {
	for _, item := range l.list(v, "a list of hooks") {
		e, before := e, len(l.problems)
		for _, p := range l.mapping(item, "a mapping with the key hook") {
			switch p.name {
			case "hook":
				name, ok := l.text(p.value, "a string")
				if ok && name == "" {
					l.wrong(p.value, "", "a hook without a name")
				} else if ok {
					e.Hook = Text{p.place(), name}
				}
			case "config":
				e.Broken = !l.is(p.value, "a mapping") || e.Broken
				e.Config = &Config{p.value}
			case "phase":
				e.Broken = !l.phase(p.value, &e) || e.Broken
			case "job", "run":
				l.wrong(p.key, `did you mean "hook"?`, "unknown key %q", p.name)
			default:
				l.unknown(p.key, "key", p.name, []string{"hook", "config", "phase"})
			}
		}
		if e.Hook.Line > 0 {
			l.file.Entries = append(l.file.Entries, e)
		} else if len(l.problems) == before {
			l.wrong(item, `add the key "hook"`, "an entry without a hook")
		}
	}
}

func (l *layout) phase(v value, e *Entry) bool {
	known := []string{"before_persist", "after"}
	phase, ok := l.text(v, "a string")
	switch {
	case !ok:
		return false
	case e.In != "after":
		l.wrong(v, "remove it", "an entry has a phase only within after")
		return false
	case !slices.Contains(known, phase):
		l.unknown(v, "phase", phase, known)
		return false
	}
	e.Phase = phase
	return true
}

// verifyURL takes what key says, from a mapping that may be Kratos' own and of any shape.
func (l *layout) verifyURL(v value, key string) {
	if v.Kind != yaml.MappingNode {
		return
	}
	if n := lookup(v.Node, key); n != nil {
		l.file.VerifyURL = Text{Place{n.Line, n.Column, join(v.path, key)}, ""}
		if kind(n) == "a string" && n.Style&yaml.TaggedStyle == 0 {
			l.file.VerifyURL.Value = n.Value
		}
	}
}
