package conf

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/flowhook/flowhook/internal/reference"
)

const (
	maxReferences = 1000    // different ones in a file
	maxReferred   = 8 << 20 // bytes that they lead to in all; the last one may exceed it
)

// References are the references of a file with the texts that they led to when the file was loaded.
// They never change. Nil holds none.
type References map[string]resolved

type resolved struct {
	text  string
	fault *reference.Fault
}

// ResolveReferences resolves the references in the secrets of a file and in the configs of its
// hooks. It reads each variable and each file once. A relative path begins at dir, the folder of
// the file; an empty dir is the working directory.
//
// The flows and hooks are not known before New, so anything in selfservice that looks like an entry
// of a hook counts as one.
func ResolveReferences(root Value, dir string) References {
	r := resolver{dir: dir, found: References{}}
	pairs(root.Node, func(key, section *yaml.Node) {
		switch key.Value {
		case "secrets":
			pairs(section, func(key, list *yaml.Node) {
				if slices.Contains(secretLists, key.Value) {
					r.all(list, reference.Trim)
				}
			})
		case "selfservice":
			r.entries(section)
		}
	})
	return r.found
}

// pairs calls fn for each key and value of n, if n is a mapping.
func pairs(n *yaml.Node, fn func(key, value *yaml.Node)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		fn(n.Content[i], n.Content[i+1])
	}
}

// A resolver resolves references and adds them to found.
type resolver struct {
	dir   string
	found References
	size  int
}

// entries resolves the config of each entry of a hook in n, at any depth. A key named hook that is
// not a scalar may be a flow or a strategy.
func (r *resolver) entries(n *yaml.Node) {
	isEntry := false
	pairs(n, func(key, value *yaml.Node) {
		isEntry = isEntry || key.Value == "hook" && value.Kind == yaml.ScalarNode
	})
	if isEntry {
		pairs(n, func(key, config *yaml.Node) {
			if key.Value == "config" {
				r.all(config, func(text string) string { return text })
			}
		})
		return
	}
	for _, child := range n.Content {
		r.entries(child)
	}
}

// all resolves each reference in n. It looks at the text of a string after trim.
func (r *resolver) all(n *yaml.Node, trim func(string) string) {
	for _, child := range n.Content {
		r.all(child, trim)
	}
	text := trim(n.Value)
	if _, known := r.found[text]; known || !reference.Is(text) {
		return
	}
	to := resolved{fault: &reference.Fault{Text: "the file has too many references, or they lead to too much",
		Hint: "at most 1,000 different ones, and 8 MiB"}}
	if len(r.found) < maxReferences && r.size < maxReferred {
		to.text, to.fault = reference.Resolve(text, r.dir)
	}
	r.size += len(to.text)
	r.found[text] = to
}

// Resolve returns the text that a string in the config of a hook refers to, as [reference.Resolve]
// does. A string that is no reference is its own text.
func (f *File) Resolve(v Value) (text string, bad *Problem) { return f.resolve(v, v.Value) }

// resolve is Resolve for a text that stands for v.
func (f *File) resolve(v Value, text string) (string, *Problem) {
	to, ok := f.references[text]
	switch {
	case !ok && reference.Is(text):
		return "", &Problem{v, "a reference that was not read with the file", "references are read in entries of hooks only"}
	case !ok:
		return text, nil
	case to.fault != nil:
		return "", &Problem{v, to.fault.Text, to.fault.Hint}
	}
	return to.text, nil
}

// secret is Resolve for a secret. A text that only looks like a reference is a problem here,
// because it is probably a misspelled one. A variable can still hold such a secret.
func (f *File) secret(v Value) (text string, bad *Problem) {
	const wayOut = "; if this is the secret itself, keep it in a variable and write ${NAME}"
	text = reference.Trim(v.Value)
	switch {
	case reference.IsVariable(text), strings.HasPrefix(text, "file:"):
		return f.resolve(v, text)
	case strings.Contains(text, "${"):
		return "", &Problem{v, "a reference must be the whole value", "write ${NAME} alone" + wayOut}
	case reference.IsForeign(text):
		return "", &Problem{v, notResolved,
			"write ${NAME} for a variable of the environment, or file:PATH for the content of a file" + wayOut}
	}
	return f.resolve(v, text)
}

// unresolved adds the strings in v, the config of a hook, that name a variable in an unknown
// notation, or in a part of the string.
func (l *layout) unresolved(v Value) {
	for i, child := range v.Content {
		switch {
		case v.Kind == yaml.SequenceNode:
			l.unresolved(Value{Node: child, Path: index(v.Path, i)})
		case v.Kind == yaml.MappingNode && i%2 == 1:
			l.unresolved(Value{child, v.Content[i-1], join(v.Path, v.Content[i-1].Value)})
		}
	}
	if v.Kind == yaml.ScalarNode && reference.IsForeignVariable(v.Value) {
		l.file.Unresolved = append(l.file.Unresolved, v)
	}
}
