package conf

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/spell"
)

// A Vocabulary is what a schema allows besides the keys of [settings].
type Vocabulary struct {
	Flows, Strategies []string
	Hooks             []HookKind
	Rules             map[string]string // by name: one sentence
}

// A HookKind is a hook in a [Vocabulary].
type HookKind struct {
	Name, Description string
	Config            any  // a struct with a field for each key; nil: the hook takes no config
	Custom            bool // the host's own, which is allowed everywhere and takes any config

	// Allowed reports where a hook that is not Custom can be.
	Allowed func(flow, phase string) bool
}

// An object is a JSON object.
type object = map[string]any

// JSON Schemas of values.
var (
	schemaIgnored    = object{"description": "A key of Kratos. Ignored."}
	schemaText       = object{"type": "string"}
	schemaFlag       = object{"type": "boolean"}
	schemaLinkOrCode = object{"enum": []string{"link", "code"}}
	schemaAccept     = object{"$ref": "#/$defs/accept"}
	schemaDuration   = object{"type": "string",
		"pattern": `^[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`}
)

// Schema returns the JSON Schema, version 2020-12, of the files that [Read] accepts. It also
// rejects misspelled names of hooks and rules, and hooks where they are not allowed.
func Schema(v *Vocabulary) map[string]any {
	s := schemaWriter{v, object{"accept": accepted(v)}}
	top := object{}
	for _, name := range below[""] {
		top[name] = s.section(name)
	}
	top["selfservice"] = s.selfservice()
	var isURLs []object
	for _, name := range below["urls"] {
		isURLs = append(isURLs, object{"required": []string{name}})
	}
	return object{
		"$schema":       "https://json-schema.org/draft/2020-12/schema",
		"title":         "flowhook",
		"description":   "Hooks around the flows of an auth service.",
		"type":          []string{"object", "null"}, // an empty file is null
		"properties":    top,
		"propertyNames": open(append([]string{"version"}, below[""]...), misspelledTop(v.Flows)),
		"if":            object{"not": object{"required": []string{"urls"}}},
		"then": object{"patternProperties": object{ // tls is no misspelling of urls, unless it has the same keys
			"^" + spell.Pattern("urls", 2) + "$": object{"not": object{"anyOf": isURLs}},
		}},
		"$defs": s.defs,
	}
}

// A schemaWriter writes the parts that several places of a schema refer to into defs.
type schemaWriter struct {
	*Vocabulary
	defs object
}

// ref returns a reference to a part, which write makes when it is first needed.
func (s *schemaWriter) ref(name string, write func() object) object {
	if s.defs[name] == nil {
		s.defs[name] = write()
	}
	return object{"$ref": "#/$defs/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))}
}

// mapping returns the schema of a mapping with these keys and no others. At most one of the two
// keys for the same return URL is allowed.
func mapping(doc string, keys object) object {
	is := object{"type": "object", "properties": keys, "additionalProperties": false}
	if keys["default_return_to"] != nil {
		is["dependentSchemas"] = object{
			"default_browser_return_url": object{"properties": object{"default_return_to": false}},
		}
	}
	return described(doc, is)
}

// described returns a copy of a schema with a description.
func described(doc string, is object) object {
	is = maps.Clone(is)
	if is == nil {
		is = object{}
	}
	if doc != "" {
		is["description"] = doc
	}
	return is
}

// open returns the schema of keys that are among known, or that do not look like one.
func open(known, misspelled []string) object {
	return object{"anyOf": []object{
		{"enum": known},
		{"not": object{"pattern": "^(?:" + strings.Join(misspelled, "|") + ")$"}},
	}}
}

// misspelledTop returns patterns of the keys that layout.topKey rejects, in ASCII.
func misspelledTop(flows []string) (patterns []string) {
	words := func(list []string, edits int) string {
		each := make([]string, len(list))
		for i, word := range list {
			each[i] = spell.Pattern(word, edits)
		}
		return "(?:" + strings.Join(each, "|") + ")"
	}
	phases := []string{"before", "after", "failed"}
	patterns = append(patterns,
		words(below[""], 0), words(longTops, 2), words(flows, 0), words(phases, 0),
		words([]string{"flows", "hooks", "before_persist"}, 0),
		// paths, as in session.lifespan
		"[./]*"+words([]string{"selfservice", "flows"}, 0)+"[./]+[^./].*",
		"[./]*"+words(flows, 0)+"[./]+"+words(phases, 0)+"(?:[./].*)?")
	for _, name := range below[""] {
		patterns = append(patterns, "[./]*"+spell.Pattern(name, 0)+"[./]+"+words(below[name], 0)+"(?:[./].*)?")
	}
	return patterns
}

// section returns the schema of what is at a path in [settings].
func (s *schemaWriter) section(path string) object {
	if below[path] == nil {
		return s.leaf(path)
	}
	keys := object{}
	for _, name := range below[path] {
		keys[name] = s.section(path + "." + name)
	}
	is := mapping("", keys)
	if path == "urls" { // Kratos has more URLs
		var near []string
		for _, name := range below[path] {
			near = append(near, spell.Pattern(name, 2))
		}
		delete(is, "additionalProperties")
		is["propertyNames"] = open(below[path], near)
	}
	return is
}

// leaf returns the schema of the setting at a path.
func (s *schemaWriter) leaf(path string) object {
	for _, row := range settings {
		if row.path == path && row.doc != "" {
			return described(row.doc, row.is)
		}
		if slices.Contains(row.older, path) {
			return described(row.doc+" Overruled by "+row.path+".", row.is)
		}
	}
	return schemaIgnored
}

// leaves returns the schemas of the settings that are right below some paths.
func (s *schemaWriter) leaves(paths ...string) object {
	keys := object{}
	for _, path := range paths {
		for _, name := range below[path] {
			if to := path + "." + name; below[to] == nil {
				keys[name] = s.leaf(to)
			}
		}
	}
	return keys
}
