package conf

import (
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/spell"
)

// Paths in [settings].
const (
	flowPath     = "selfservice.flows.<flow>"
	afterPath    = flowPath + ".after"
	strategyPath = afterPath + ".<strategy>"
)

var (
	// below lists the known keys below a path, sorted. The path of the top level is "".
	below = knownKeys()

	// longTops are the keys at the top level without the short ones, of which too many other words
	// look like misspellings, such as tls of urls.
	longTops = slices.DeleteFunc(slices.Clone(below[""]), func(name string) bool { return len(name) < 5 })

	kratosReturn = below[strategyPath]
)

func knownKeys() map[string][]string {
	known := map[string][]string{}
	add := func(path string) {
		in := ""
		for _, name := range strings.Split(path, ".") {
			if i, ok := slices.BinarySearch(known[in], name); !ok {
				known[in] = slices.Insert(known[in], i, name)
			}
			in = strings.TrimPrefix(in+"."+name, ".")
		}
	}
	for _, s := range settings {
		for _, path := range s.places() {
			add(path)
		}
	}
	for in, names := range ignored {
		for _, name := range names {
			add(in + "." + name)
		}
	}
	return known
}

// A found is a value of a setting that is not yet read.
type found struct {
	Value
	flow, strategy string // which it is for; "": all
}

// section finds the settings in v, which is at a path in [settings], and reports unknown keys.
func (l *layout) section(v Value, path string) {
	for _, v := range l.mapping(v) {
		to := path + "." + v.key.Value
		switch known := below[path]; {
		case slices.Contains(known, v.key.Value) && below[to] != nil:
			l.section(v, to)
		case slices.Contains(known, v.key.Value):
			l.found[to] = append(l.found[to], found{Value: v})
		case path == "urls" && spell.Nearest(v.key.Value, known) == "": // Kratos has more URLs
		case path == "flowhook" && slices.Contains(longTops, v.key.Value):
			l.tooDeep(v)
		case path != "secrets" || spell.Nearest(v.key.Value, known) != "":
			l.unknown(v.atKey(), "key", known)
		case slices.Contains(longTops, v.key.Value):
			l.tooDeep(v)
		default: // not shown: it may be a misplaced secret
			l.wrong(Value{Node: v.key, Path: path}, spell.Hint("", secretLists), "unknown key")
		}
	}
}

// find finds the settings of a flow and strategy in v, a mapping in selfservice. It leaves other
// keys to the caller.
func (l *layout) find(v Value, flow, strategy string, paths ...string) {
	for _, path := range paths {
		for _, name := range below[path] {
			to := path + "." + name
			if v := v.Get(name); v.Node != nil && below[to] == nil {
				l.found[to] = append(l.found[to], found{v, flow, strategy})
			}
		}
	}
	newer := v.Get("default_browser_return_url")
	if newer.Node != nil && v.Get("default_return_to").Node != nil {
		l.wrong(newer.atKey(), "remove one of them", `"default_return_to" is set as well`)
	}
}

// settings reads the settings that were found. It begins with the oldest places, so that the newest
// count.
func (l *layout) settings() {
	for _, s := range settings {
		for _, path := range s.places() {
			for _, v := range l.found[path] {
				l.file.Kratos = l.file.Kratos || s.kratos
				if s.at != nil {
					l.take(s.at(&l.file), v.Value)
				}
				if s.read != nil {
					s.read(l, v)
				}
			}
		}
	}
}

// An Overruled value has no effect, because a newer or closer place sets the same.
type Overruled struct{ Value, By Value }

// take replaces the value of an older place, or of one further out, with v.
func (l *layout) take(at *Value, v Value) {
	if at.Node != nil {
		l.file.Overruled = append(l.file.Overruled, Overruled{*at, v})
	}
	*at = v
}
