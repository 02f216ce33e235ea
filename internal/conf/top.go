package conf

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/spell"
)

// top reads a file. It returns the keys at the top level that it reported.
func (l *layout) top(root Value) (bad []string) {
	signs := 0
	l.hasURLs = root.Get("urls").Node != nil
	for _, v := range l.mapping(root) {
		name := v.key.Value
		switch {
		case slices.Contains(kratosTops, name),
			name == "$schema" && strings.Contains(strings.ToLower(v.Value), "kratos"):
			l.file.Kratos = true
		case slices.Contains(kratosPairs, name), name == "version" && kratosVersion(v.Value):
			if signs++; signs > 1 {
				l.file.Kratos = true
			}
		}
		if l.topKey(v) {
			bad = append(bad, name)
		}
	}
	for _, name := range below[""] {
		switch v := root.Get(name); {
		case v.Node == nil:
		case name == "selfservice":
			l.selfservice(v)
		default:
			l.section(v, name)
		}
	}
	return bad
}

// kratosVersion matches the versions of Kratos, such as v0.13.0, v1.3.1 and v26.1.0.
var kratosVersion = regexp.MustCompile(`^v([01]|2\d)\.\d`).MatchString

// topKey adds a problem if a key at the top level is probably a misspelled or misplaced key of
// flowhook. It reports whether it did.
func (l *layout) topKey(v Value) bool {
	name := v.key.Value
	path := l.pathHint(name)
	inside := slices.Concat(l.flows, []string{"flows", "hooks", "before", "before_persist", "after", "failed"})
	word := spell.Alike(name, inside) // a key that only resembles a flow may be one of the host's
	near := cmp.Or(spell.Alike(name, below[""]), spell.Nearest(name, longTops))
	if !spell.English(name) { // a word of another language may resemble a key
		word, near = spell.Disguised(name, inside), spell.Disguised(name, below[""])
	}
	isURL := func(key string) bool { return v.Get(key).Node != nil }
	if near == "" && !l.hasURLs && slices.ContainsFunc(below["urls"], isURL) { // too short to be sure without a look
		near = spell.Nearest(name, []string{"urls"})
	}
	switch {
	case word != "":
		l.wrong(v.atKey(), "move "+word+" into selfservice", "%s at the top level", spell.Show(name))
	case name == "version": // a key of Kratos, two edits from "session"
		return false
	case near != "" && near != name:
		l.unknown(v.atKey(), "key", below[""])
	case path != "":
		l.wrong(v.atKey(), path, "a path as a key")
	default:
		return false
	}
	return true
}

// pathHint returns how to write a key that is a path to a known key, such as session.lifespan. It
// returns "" if the key is no such path.
func (l *layout) pathHint(name string) string {
	path := strings.FieldsFunc(spell.Plain(name), func(r rune) bool { return r == '.' || r == '/' })
	if len(path) < 2 {
		return ""
	}
	known := below[path[0]]
	isPhase := slices.Contains([]string{"before", "after", "failed"}, path[1])
	switch {
	case path[0] == "flows", known == nil && isPhase && slices.Contains(l.flows, path[0]):
		path = append([]string{"selfservice"}, path...)
	case path[0] != "selfservice" && !slices.Contains(known, path[1]):
		return ""
	}
	odd := func(key string) bool { return !plainKey.MatchString(key) }
	if spell.Clip(name) != name || slices.ContainsFunc(path, odd) {
		return "nest the keys"
	}
	return "nest the keys: " + strings.Join(path, ": {") + ": ..." + strings.Repeat("}", len(path)-1)
}
