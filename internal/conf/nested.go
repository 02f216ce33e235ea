package conf

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Nested is a configuration for flowhook that is below a key of something else, where it has no
// effect.
type Nested struct {
	At      Value // its key, such as selfservice; if it is within a text, the text or its key
	Problem string
	Hint    string
}

const (
	helm = "; for Helm, load the file inside the rendered ConfigMap"

	maxTexts = 3 // texts within texts, such as a file in Helm values in a ConfigMap
)

// A search looks for configurations below keys that are not flowhook's.
type search struct {
	flows   []string
	secrets bool // secrets alone are a configuration, because the file has none at the top level
	hooks   bool // selfservice without hooks is no configuration
	texts   int  // how many levels of texts to search
	found   []Nested
}

// nested returns the configurations below keys that are not flowhook's. It skips the keys in bad,
// which top has reported.
func (l *layout) nested(root Value, bad []string) []Nested {
	has := func(name string) bool {
		v := root.Get(name)
		return v.Node != nil && len(v.Content) > 0
	}
	s := search{flows: l.flows, secrets: !slices.ContainsFunc(below[""], has), texts: maxTexts}
	if has("selfservice") { // then a text may hold an example
		s.hooks, s.texts = true, 0
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i]
		v := Value{root.Content[i+1], key, join("", key.Value)}
		switch {
		case key.Value == "selfservice": // unknown keys elsewhere in it are reported anyway
			s.in(v.Get("methods"))
			s.in(v.Get("strategies"))
		case !slices.Contains(longTops, key.Value) && !slices.Contains(bad, key.Value):
			s.in(v)
		}
	}
	kind := root.Get("kind")
	if len(s.found) == 0 && s.secrets && len(bad) == 0 && kind.Node != nil && root.Get("apiVersion").Node != nil {
		s.found = append(s.found, Nested{kind.atKey(), "nothing is configured: this is a Kubernetes manifest",
			"load the file that the ConfigMap or Secret holds"})
	}
	return s.found
}

// in adds the first configuration in v, at any depth, and reports whether there is one.
func (s *search) in(v Value) bool {
	if v.Node == nil {
		return false
	}
	if v.Kind == yaml.ScalarNode {
		return s.texts > 0 && s.inText(v)
	}
	for i, child := range v.Content {
		switch {
		case v.Kind == yaml.SequenceNode:
			if s.in(Value{child, nil, index(v.Path, i)}) {
				return true
			}
		case v.Kind == yaml.MappingNode && i%2 == 1:
			key := v.Content[i-1]
			value := Value{child, key, join(v.Path, key.Value)}
			if s.isOurs(value) {
				s.add(value, v.Path)
				return true
			}
			if s.in(value) {
				return true
			}
		}
	}
	return false
}

// add adds a configuration that is below the path in.
func (s *search) add(v Value, in string) {
	name, to := v.key.Value, "the top level"
	if name == "flows" || slices.Contains(s.flows, name) {
		to = "selfservice at the top level"
	}
	in = strings.ReplaceAll(in, `"`, "")
	s.found = append(s.found, Nested{v.atKey(), name + " is below " + in + ", where it has no effect",
		"move it to " + to + helm})
}

// isOurs reports whether the key and the content of v belong at the top level of a configuration,
// or into selfservice.
func (s *search) isOurs(v Value) bool {
	switch name := v.key.Value; {
	case name == "selfservice":
		return v.Kind == yaml.MappingNode && (!s.hooks || hasHooks(v.Node))
	case name == "flows":
		return slices.ContainsFunc(s.flows, func(flow string) bool { return isFlow(v.Get(flow)) })
	case name == "secrets" && s.secrets:
		return slices.ContainsFunc([]string{"session", "cookie"}, func(name string) bool {
			list := v.Get(name).Node
			return list != nil && list.Kind == yaml.SequenceNode
		})
	default:
		return slices.Contains(s.flows, name) && isFlow(v)
	}
}

// isFlow reports whether v has hooks in a phase, as a flow has.
func isFlow(v Value) bool {
	return slices.ContainsFunc([]string{"before", "after", "failed"}, func(name string) bool {
		phase := v.Get(name).Node
		return phase != nil && hasHooks(phase)
	})
}

// hasHooks reports whether n has a list of hooks, at any depth.
func hasHooks(n *yaml.Node) bool {
	return slices.ContainsFunc(n.Content, func(child *yaml.Node) bool {
		hook := Value{Node: child}.Get("hook").Node
		return n.Kind == yaml.SequenceNode && hook != nil && hook.Kind == yaml.ScalarNode || hasHooks(child)
	})
}

// aboutUs matches a configuration in a text that is not valid YAML, such as a template.
var aboutUs = regexp.MustCompile(`(?m)^selfservice:[ \t]*(#.*)?\r?\n[ \t]+[\w"'{#]`).MatchString

// inText adds v if its text is a configuration, and reports whether it is. The text is YAML, or
// YAML in base64, as in a Kubernetes Secret.
func (s *search) inText(v Value) bool {
	text := v.Value
	if !strings.Contains(text, ":") {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return false
		}
		text = string(data)
	}
	names := []string{"selfservice", "secrets", "hook"}
	if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(text, name) }) {
		return false // without the cost of parsing it
	}
	root, bad := Parse([]byte(text))
	// Prose may mention selfservice. Below the top level of the text, it needs hooks to count.
	inner := search{flows: s.flows, secrets: s.secrets, hooks: true, texts: s.texts - 1}
	ours := bad != nil && aboutUs(text)
	if own := root.Get("selfservice").Node; bad == nil {
		ours = own != nil && own.Kind == yaml.MappingNode || inner.in(root)
	}
	if !ours {
		return false
	}
	at := v
	if v.key != nil {
		at = v.atKey()
	}
	path := strings.ReplaceAll(v.Path, `"`, "")
	s.found = append(s.found, Nested{at,
		"a configuration is in the text " + path + ", as in a Kubernetes ConfigMap, where it has no effect",
		"extract " + path + " into a file of its own, and load that"})
	return true
}
