package conf

import (
	"encoding/base64"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Nested is a configuration for flowhook that is not at the top level of its file, where alone it
// would be read.
type Nested struct {
	At   Value  // its key, such as selfservice, or the key of the text that holds it
	In   string // the path to the mapping, or to the text, that would have to be the file
	Key  string // the key that shows it: selfservice, secrets or session
	Text bool   // it is in a string, as in the data of a Kubernetes ConfigMap
}

// nested looks for a configuration below other keys. A file that has a key of ours at the top level
// has none.
func nested(root Value) *Nested {
	for _, name := range tops {
		if root.Get(name).Node != nil {
			return nil
		}
	}
	return within(root)
}

// within looks for a configuration below v.
func within(v Value) *Nested {
	for i, child := range v.Content {
		var found *Nested
		switch {
		case v.Kind == yaml.SequenceNode:
			found = within(Value{child, nil, index(v.Path, i)})
		case v.Kind == yaml.MappingNode && i%2 == 1:
			key := v.Content[i-1]
			value := Value{child, key, join(v.Path, key.Value)}
			if v.Path != "" && isOurs(value) {
				return &Nested{At: value.atKey(), In: v.Path, Key: key.Value}
			}
			if name := inText(child); name != "" {
				return &Nested{At: value.atKey(), In: value.Path, Key: name, Text: true}
			}
			found = within(value)
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// isOurs reports whether v, by its key and what is in it, belongs at the top level of a
// configuration.
func isOurs(v Value) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return v.Get(name).Node != nil })
	}
	switch v.key.Value {
	case "selfservice":
		return v.Kind == yaml.MappingNode
	case "secrets":
		return slices.ContainsFunc(secretLists, func(name string) bool {
			list := v.Get(name).Node
			return list != nil && list.Kind == yaml.SequenceNode
		})
	case "session":
		return has("lifespan", "cookie")
	}
	return false
}

// inText returns the first key of ours at the top level of a text that is YAML, or that is YAML in
// base64, as in a Kubernetes Secret; "" if there is none.
func inText(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	text := n.Value
	if !strings.Contains(text, ":") {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return ""
		}
		text = string(data)
	}
	names := []string{"selfservice", "secrets", "session"}
	if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(text, name) }) {
		return "" // nearly every string: do not parse it
	}
	root, bad := Parse([]byte(text))
	if bad != nil || root.Node == nil {
		return ""
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i]
		if isOurs(Value{root.Content[i+1], key, ""}) {
			return key.Value
		}
	}
	return ""
}
