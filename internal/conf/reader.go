package conf

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A value is a node and the way to it.
type value struct {
	*yaml.Node
	path string
}

func (v value) place() Place { return Place{v.Line, v.Column, v.path} }

// A pair is a key of a mapping and its value. The path of both ends with the key.
type pair struct {
	name string
	key  value
	value
}

// A reader collects what is wrong. What is read with it is ours: there, an alias, a merge key, a tag or a duplicate is
// a problem, because it hides what a file says.
type reader struct{ problems []Problem }

func (r *reader) wrong(v value, hint, text string, args ...any) {
	r.problems = append(r.problems, Problem{v.place(), fmt.Sprintf(text, args...), hint})
}

// is says whether v is of a kind, and reports it where it is not.
func (r *reader) is(v value, want string) bool {
	switch {
	case v.Kind == yaml.AliasNode:
		r.wrong(v, "write it out", "aliases are not read here")
	case v.Style&yaml.TaggedStyle != 0:
		r.wrong(v, "remove it", "tags are not read here")
	case !strings.HasPrefix(want, kind(v.Node)):
		r.wrong(v, "", "expected %s, found %s", want, kind(v.Node))
	default:
		return true
	}
	return false
}

var kinds = map[string]string{"!!str": "a string", "!!null": "null", "!!int": "a number", "!!float": "a number",
	"!!bool": "true or false", "!!timestamp": "a date", "!!merge": "a merge key"}

// kind says what a node is, in the words that [reader.is] takes.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if words, ok := kinds[n.Tag]; ok {
		return words
	}
	return "something else"
}

// mapping gives the pairs of v.
func (r *reader) mapping(v value, want string) []pair {
	if !r.is(v, want) {
		return nil
	}
	pairs := make([]pair, 0, len(v.Content)/2)
	first := make(map[string]int, len(v.Content)/2)
	for i := 0; i+1 < len(v.Content); i += 2 {
		key := value{v.Content[i], join(v.path, v.Content[i].Value)}
		if key.Kind != yaml.ScalarNode {
			key.path = v.path
		}
		if key.Tag == "!!merge" {
			r.wrong(key, "write it out", "merge keys are not read here")
			continue
		}
		if key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 {
			r.wrong(key, "", "expected a plain key")
			continue
		}
		if line, ok := first[key.Value]; ok {
			r.wrong(key, "", "a key for the second time; the first is on line %d", line)
			continue
		}
		first[key.Value] = key.Line
		pairs = append(pairs, pair{key.Value, key, value{v.Content[i+1], key.path}})
	}
	return pairs
}

// keys are what a mapping may have, and who reads it. What nobody reads is let be.
type keys map[string]func(value)

func (k keys) names() []string { return slices.Sorted(maps.Keys(k)) }

// each reads a mapping that has no other keys.
func (r *reader) each(v value, known keys) {
	for _, p := range r.mapping(v, "a mapping") {
		if read, ok := known[p.name]; !ok {
			r.unknown(p.key, "key", p.name, known.names())
		} else if read != nil {
			read(p.value)
		}
	}
}

func (r *reader) list(v value, want string) []value {
	if !r.is(v, want) {
		return nil
	}
	items := make([]value, len(v.Content))
	for i, n := range v.Content {
		items[i] = value{n, v.path + "[" + strconv.Itoa(i) + "]"}
	}
	return items
}

func (r *reader) text(v value, want string) (string, bool) {
	if !r.is(v, want) {
		return "", false
	}
	return v.Value, true
}

// unknown reports a key or a name that is not among known.
func (r *reader) unknown(v value, what, name string, known []string) {
	r.wrong(v, Hint(name, known), "unknown %s %q", what, Clip(name))
}

// Hint says what somebody who wrote name may have meant.
func Hint(name string, known []string) string {
	if best := nearest(name, known); best != "" {
		return "did you mean " + strconv.Quote(best) + "?"
	}
	return "known: " + strings.Join(known, ", ")
}

// nearest gives the known word that is one edit from name, or two if it is long enough; or "".
func nearest(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		limit := 1
		if len(k) > 3 {
			limit = 2
		}
		if d := distance(strings.ToLower(name), k); d <= limit && d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions and substitutions that make b of a. It stops counting at 3, and does not
// look at long words.
func distance(a, b string) int {
	var buffer [64]int
	if len(a) > len(b)+2 || len(b) > len(a)+2 || len(b) >= len(buffer) {
		return 3
	}
	row := buffer[:len(b)+1]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], 3)
}

// join adds a key to a path.
func join(path, key string) string {
	key = Clip(key)
	if key == "" || strings.ContainsFunc(key, func(c rune) bool {
		return c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Clip cuts what is too long for an error.
func Clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
