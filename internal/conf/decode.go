package conf

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Decode decodes v, the config of a hook, into the value that to points to. An unknown key, a null
// or a value of another type is a problem. The cause is the error of to's own decoder, if it
// failed; it may quote the value, so that no problem contains it.
//
// Strings are replaced by what resolve returns, such as [File.Resolve]. A nil resolve keeps them.
//
// The YAML library is strict only when it decodes text, and its errors have lines, but no columns.
// Decode therefore writes v again with each node on its own line, which tells the nodes apart.
func (v Value) Decode(to any, resolve func(Value) (string, *Problem)) (bad []Problem, cause error) {
	var w writer
	if w.write(v, resolve, ""); len(w.problems) > 0 {
		return w.problems, nil
	}
	dec := yaml.NewDecoder(&w.text)
	dec.KnownFields(true)
	err := dec.Decode(to)
	var wrong *yaml.TypeError
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &wrong):
		return []Problem{{v, "a value that does not fit", ""}}, err
	}
	all, known := map[string]keys{}, map[string][]string{}
	fields(reflect.TypeOf(to), all)
	for of, own := range all {
		known[of] = own.names()
	}
	for _, text := range wrong.Errors {
		w.refuse(text, v, known)
	}
	return w.problems, nil
}

// A writer writes nodes as flow YAML, one per line. It rejects what [reader] rejects, and null.
type writer struct {
	reader
	text  bytes.Buffer
	nodes []Value // by line, from 0
}

func (w *writer) line(v Value, text string) {
	w.nodes = append(w.nodes, v)
	w.text.WriteString(text + "\n")
}

// write writes v and then end, which is a comma or empty. It does not resolve keys.
func (w *writer) write(v Value, resolve func(Value) (string, *Problem), end string) {
	switch kind(v.Node) {
	case "a mapping":
		w.line(v, "{")
		for _, v := range w.mapping(v) {
			w.text.WriteString("? ")
			w.write(v.atKey(), nil, "")
			w.text.WriteString(": ")
			w.write(v, resolve, ",")
		}
		w.line(v, "}"+end)
	case "a list":
		w.line(v, "[")
		for _, item := range w.list(v, "a list") {
			w.write(item, resolve, ",")
		}
		w.line(v, "]"+end)
	case "null":
		w.wrong(v, "give it a value, or remove the key", "expected a value, found null")
	case "a string":
		text := v.Value
		if w.is(v, "a string") && resolve != nil {
			var bad *Problem
			if text, bad = resolve(v); bad != nil {
				w.problems = append(w.problems, *bad)
			}
		}
		w.line(v, strconv.QuoteToASCII(text)+end)
	default:
		w.is(v, kind(v.Node))
		w.line(v, v.Value+end)
	}
}

// refuse reports an error of the YAML library in other words, because the library quotes values.
// known are the keys of each type, by its name in that error.
func (w *writer) refuse(text string, v Value, known map[string][]string) {
	line, text := cutLine(text)
	if 0 < line && line <= len(w.nodes) {
		v = w.nodes[line-1]
	}
	if _, in, ok := strings.Cut(text, " not found in type "); ok && strings.HasPrefix(text, "field ") {
		w.unknown(v, "key", known[in])
		return
	}
	into := strings.LastIndex(text, " into ")
	if !strings.HasPrefix(text, "cannot unmarshal ") || into < 0 {
		w.wrong(v, "", "a value that does not fit")
		return
	}
	want, hint := text[into+len(" into "):], ""
	switch {
	case want == "time.Duration":
		want, hint = "a duration", "write it as in 90s or 1h30m"
	case strings.HasPrefix(want, "[]"):
		want, hint = "a list", "write it in brackets"
	}
	w.wrong(v, hint, "expected %s, found %s", want, kind(v.Node))
}

// fields adds the keys of a type, and of the types in it, to known.
func fields(t reflect.Type, known map[string]keys) {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
		fields(t.Elem(), known)
	case t.Kind() == reflect.Struct && known[t.String()] == nil:
		own := keys{}
		known[t.String()] = own
		for _, f := range reflect.VisibleFields(t) {
			name, flags, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			fields(f.Type, known)
			switch {
			case strings.Contains(flags, "inline"):
				maps.Copy(own, known[f.Type.String()])
			case f.IsExported() && !f.Anonymous && name != "-":
				own[name] = nil
			}
		}
	}
}
