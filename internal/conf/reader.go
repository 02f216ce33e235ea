package conf

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/flowhook/flowhook/internal/spell"
)

// A Value is a node of a file, with its key and its path. The zero Value is no node.
type Value struct {
	*yaml.Node
	key  *yaml.Node // nil for the item of a list
	Path string     // "selfservice.login.before[0].hook"
}

// Get returns the value of a key in v. It returns the zero Value if v has no such key or is no
// mapping, and reports no problem.
func (v Value) Get(key string) Value {
	if v.Node == nil || v.Kind != yaml.MappingNode {
		return Value{}
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		if v.Content[i].Value == key {
			return Value{v.Content[i+1], v.Content[i], join(v.Path, key)}
		}
	}
	return Value{}
}

// At returns the value at a path of keys, such as "auth.type", or where the path ends in v. If v does
// not even have the first key, it returns a zero Value.
func (v Value) At(path string) (found Value) {
	for key := range strings.SplitSeq(path, ".") {
		if v = v.Get(key); v.Node == nil {
			break
		}
		found = v
	}
	return found
}

// True reports whether v is the boolean true.
func (v Value) True() bool {
	return v.Node != nil && v.Kind == yaml.ScalarNode && v.ShortTag() == "!!bool" && strings.EqualFold(v.Value, "true")
}

// atKey returns the key of v, for a problem with it.
func (v Value) atKey() Value { return Value{Node: v.key, Path: v.Path} }

// A reader reads values strictly and collects the problems. Aliases, merge keys, tags and duplicate
// keys are problems, because they hide what a file says.
type reader struct{ problems []Problem }

func (r *reader) wrong(v Value, hint, text string, args ...any) {
	r.problems = append(r.problems, Problem{v, fmt.Sprintf(text, args...), hint})
}

// is reports whether v is of a kind, and adds a problem if it is not. An anchor or a tag is a
// problem as well: it may be the beginning of a value that is not quoted.
func (r *reader) is(v Value, want string) bool {
	switch {
	case v.Kind == yaml.AliasNode:
		r.wrong(v, "write the value out, or quote one that begins with *", "aliases are not allowed here")
	case v.Anchor != "":
		if n := len(r.problems); n == 0 || r.problems[n-1].Node != v.Node { // entries are checked twice
			r.wrong(v, "remove the anchor, or quote a value that begins with &", "anchors are not allowed here")
		}
		return v.Kind != yaml.ScalarNode && strings.HasPrefix(want, kind(v.Node)) // to report the problems in it
	case v.Style&yaml.TaggedStyle != 0:
		r.wrong(v, "remove the tag, or quote a value that begins with !", "tags are not allowed here")
	case !strings.HasPrefix(want, kind(v.Node)):
		r.wrong(v, "", "expected %s, found %s", want, kind(v.Node))
	default:
		return true
	}
	return false
}

var kinds = map[string]string{"!!map": "a mapping", "!!seq": "a list", "!!str": "a string", "!!null": "null",
	"!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!timestamp": "a date"}

// kind returns the kind of a node, in the words of [reader.is].
func kind(n *yaml.Node) string {
	if words, ok := kinds[n.ShortTag()]; ok {
		return words
	}
	return "something else"
}

// mapping returns the values of v, each with its key.
func (r *reader) mapping(v Value) []Value {
	if !r.is(v, "a mapping") {
		return nil
	}
	values := make([]Value, 0, len(v.Content)/2)
	first := make(map[string]int, len(v.Content)/2)
	for i := 0; i+1 < len(v.Content); i += 2 {
		key := v.Content[i]
		at := Value{Node: key, Path: v.Path} // without the key, which may be a misplaced value
		line, again := first[key.Value]
		switch {
		case key.Tag == "!!merge":
			r.wrong(at, "write the keys out", "merge keys are not allowed here")
		case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 || key.Anchor != "":
			r.wrong(at, "", "expected a plain key")
		case again && v.Path == "secrets" && !slices.Contains(below["secrets"], key.Value):
			r.wrong(at, "", "duplicate key; the first is on line %d", line) // not shown: it may be a misplaced secret
		case again:
			r.wrong(at, "", "duplicate key %s; the first is on line %d", spell.Show(key.Value), line)
		default:
			first[key.Value] = key.Line
			values = append(values, Value{v.Content[i+1], key, join(v.Path, key.Value)})
		}
	}
	return values
}

// keys are the keys that a mapping may have, each with the function that reads its value. A nil
// function ignores the value.
type keys map[string]func(Value)

// letBe returns keys whose values are ignored.
func letBe(names ...string) keys {
	k := keys{}
	for _, name := range names {
		k[name] = nil
	}
	return k
}

func (k keys) names() []string { return slices.Sorted(maps.Keys(k)) }

// each reads a mapping. It reports a key that is not known as an unknown what.
func (r *reader) each(v Value, what string, known keys) {
	names := known.names()
	for _, v := range r.mapping(v) {
		if read, ok := known[v.key.Value]; !ok {
			r.unknown(v.atKey(), what, names)
		} else if read != nil {
			read(v)
		}
	}
}

// list returns the items of v. The kind want begins with "a list".
func (r *reader) list(v Value, want string) []Value {
	if !r.is(v, want) {
		return nil
	}
	items := make([]Value, len(v.Content))
	for i, n := range v.Content {
		items[i] = Value{Node: n, Path: index(v.Path, i)}
	}
	return items
}

// unknown reports a key or a name, which is a what, that is not among known.
func (r *reader) unknown(v Value, what string, known []string) {
	options := map[string]string{"flow": "Options.Flows", "strategy or key": "Options.Strategies"}
	problem, hint := spell.Unknown(what, v.Value, known, options[what])
	r.wrong(v, hint, "%s", problem)
}

// index adds an index to a path.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

var plainKey = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// join adds a key to a path.
func join(path, key string) string {
	if !plainKey.MatchString(spell.Clip(key)) {
		key = spell.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
