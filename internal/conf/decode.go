package conf

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Config is the config of one hook.
type Config struct{ value }

// Place is where the config stands, or, if it has key, where that key's value does.
func (c *Config) Place(key string) Place {
	if n := lookup(c.Node, key); n != nil && key != "" {
		return Place{n.Line, n.Column, join(c.path, key)}
	}
	return c.place()
}

func lookup(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// Decode puts the config into v, strictly: every key must be v's, every value of its type, none null. The cause is what a
// decoder of v's own said; it is not in the problems, because it may quote the value.
//
// The YAML library decodes strictly only from text, and then gives lines but no columns. So the config is written out
// again, with every node on a line of its own: its line says which node it was.
func (c *Config) Decode(v any) (bad []Problem, cause error) {
	var w writer
	if w.write(c.value, ""); len(w.problems) > 0 {
		return w.problems, nil
	}
	dec := yaml.NewDecoder(&w.text)
	dec.KnownFields(true)
	err := dec.Decode(v)
	var wrong *yaml.TypeError
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &wrong):
		return []Problem{{c.place(), "a value that does not fit", ""}}, err
	}
	known := fields(reflect.TypeOf(v), nil, map[reflect.Type]bool{})
	for _, text := range wrong.Errors {
		w.refuse(text, c.value, known)
	}
	return w.problems, nil
}

// A writer writes nodes as flow YAML, a line each. It refuses what [reader] does, and null.
type writer struct {
	reader
	text  bytes.Buffer
	nodes []value // by line
}

func (w *writer) line(v value, text string) {
	w.nodes = append(w.nodes, v)
	w.text.WriteString(text + "\n")
}

// write writes v and what follows it, which is a comma or nothing.
func (w *writer) write(v value, end string) {
	switch {
	case v.Kind == yaml.MappingNode:
		w.line(v, "{")
		for _, p := range w.mapping(v, "a mapping") {
			w.text.WriteString("? ")
			w.write(p.key, "")
			w.text.WriteString(": ")
			w.write(p.value, ",")
		}
		w.line(v, "}"+end)
	case v.Kind == yaml.SequenceNode:
		w.line(v, "[")
		for _, item := range w.list(v, "a list") {
			w.write(item, ",")
		}
		w.line(v, "]"+end)
	case kind(v.Node) == "null":
		w.wrong(v, "give it a value, or remove the key", "expected a value, found null")
	case !w.is(v, kind(v.Node)):
	case kind(v.Node) == "a string":
		w.line(v, strconv.QuoteToASCII(v.Value)+end)
	default:
		w.line(v, v.Value+end)
	}
}

// refuse says in our words what the YAML library said. Its own quote the value.
func (w *writer) refuse(text string, v value, known []string) {
	line, text := cutLine(text)
	if 0 < line && line <= len(w.nodes) {
		v = w.nodes[line-1]
	}
	into := strings.LastIndex(text, " into ")
	switch {
	case strings.HasPrefix(text, "field ") && strings.Contains(text, " not found in type "):
		w.unknown(v, "key", v.Value, known)
	case strings.HasPrefix(text, "cannot unmarshal ") && into > 0:
		w.wrong(v, "", "expected %s, found %s", expected(text[into+len(" into "):]), kind(v.Node))
	default:
		w.wrong(v, "", "a value that does not fit")
	}
}

var goTypes = map[string]string{"string": "a string", "bool": "true or false", "time.Duration": "a duration such as 24h",
	"int": "a whole number", "int64": "a whole number", "float64": "a number"}

// expected says in YAML's words what a Go type takes.
func expected(goType string) string {
	if words, ok := goTypes[strings.TrimLeft(goType, "*")]; ok {
		return words
	} else if strings.HasPrefix(goType, "[]") {
		return "a list"
	}
	return "what fits " + goType
}

// fields adds the keys that a type takes, at any depth, for suggestions.
func fields(t reflect.Type, known []string, seen map[reflect.Type]bool) []string {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || seen[t] {
		return known
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		if f.IsExported() && name != "-" && !strings.Contains(options, "inline") && !slices.Contains(known, name) {
			known = append(known, name)
		}
		known = fields(f.Type, known, seen)
	}
	return known
}
