package conf

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/spell"
)

// top reads a file, and returns the keys at its top level that it reported.
func (l *layout) top(root Value) (bad []string) {
	signs := 0
	for _, v := range l.mapping(root) {
		name := v.key.Value
		switch {
		case slices.Contains(kratosTops, name),
			name == "$schema" && strings.Contains(strings.ToLower(v.Value), "kratos"):
			l.kratos(v)
		case slices.Contains(kratosSigns, name), name == "version" && kratosVersion(v.Value):
			if signs++; signs > 1 {
				l.kratos(v)
			}
		}
		if l.topKey(v) {
			bad = append(bad, name)
		}
	}
	for _, section := range []struct { // what is newer comes later, and wins
		name string
		read func(Value)
	}{
		{"urls", l.urls}, {"selfservice", l.selfservice}, {"secrets", l.secrets},
		{"security", l.security}, {"cookies", l.cookies}, {"session", l.session},
	} {
		if v := root.Get(section.name); v.Node != nil {
			section.read(v)
		}
	}
	return bad
}

// kratosVersion reports whether the value of version is one of Kratos: v0.13.0, v1.3.1, v26.1.0.
var kratosVersion = regexp.MustCompile(`^v([01]|2\d)\.\d`).MatchString

// kratos reads a key that Kratos uses and flowhook does not. Flow keys such as ui_url and lifespan
// are not read by it: they tell too little.
func (l *layout) kratos(Value) { l.file.Kratos = true }

// topKey reports a key at the top level that was probably meant to be one of ours, and whether it
// is one.
func (l *layout) topKey(v Value) bool {
	name := v.key.Value
	path := l.pathHint(name)
	inside := slices.Concat(l.flows, []string{"flows", "hooks", "before", "before_persist", "after", "failed"})
	word := spell.Alike(name, inside) // what is only near to a flow may be a key of the host's
	near := cmp.Or(spell.Alike(name, tops), spell.Nearest(name, longTops))
	if !spell.English(name) { // a word of another language may be near to one of ours
		word, near = spell.Disguised(name, inside), spell.Disguised(name, tops)
	}
	switch {
	case word != "":
		l.wrong(v.atKey(), "move "+word+" into selfservice", "%s at the top level", spell.Show(name))
	case name == "version": // Kratos' is two edits from "session"; no other key of Kratos is so close to one of ours
		return false
	case near != "" && near != name:
		l.unknown(v.atKey(), "key", tops)
	case path != "":
		l.wrong(v.atKey(), path, "a path as a key")
	default:
		return false
	}
	return true
}

// below lists the keys that are read below a key at the top level; nil means any key.
var below = map[string][]string{
	"selfservice": nil,
	"secrets":     secretKeys,
	"session":     {"cookie", "earliest_possible_extend", "lifespan", "whoami"},
	"cookies":     {"domain", "path", "same_site", "secure"},
	"security":    {"account_enumeration", "session"},
	"urls":        oldURLs,
}

// pathHint returns how to write a key at the top level that is a path to something that is read, as
// in session.lifespan; or "" if it is not a path.
func (l *layout) pathHint(name string) string {
	path := strings.FieldsFunc(spell.Plain(name), func(r rune) bool { return r == '.' || r == '/' })
	if len(path) < 2 {
		return ""
	}
	known, ok := below[path[0]]
	isPhase := slices.Contains([]string{"before", "after", "failed"}, path[1])
	if path[0] == "flows" || isPhase && slices.Contains(l.flows, path[0]) {
		path, ok = append([]string{"selfservice"}, path...), true
	}
	odd := func(key string) bool { return !plainKey.MatchString(key) }
	switch {
	case !ok || known != nil && !slices.Contains(known, path[1]):
		return ""
	case spell.Clip(name) != name || slices.ContainsFunc(path, odd):
		return "nest the keys"
	}
	return "nest the keys: " + strings.Join(path, ": {") + ": ..." + strings.Repeat("}", len(path)-1)
}
