package conf

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// ChangedKeys returns the keys whose values differ between two files, such as session.lifespan, in
// the order of the first file and then of the second. A list is one value, and so is a mapping that
// only one file has. Comments, the order of keys and the layout do not count. A key that may be a
// secret is [Hidden].
func ChangedKeys(a, b Value) []string { return changedKeys(a.Node, b.Node, "") }

func changedKeys(a, b *yaml.Node, path string) (changed []string) {
	if path != "" && (!isMapping(a) || !isMapping(b)) {
		if !equal(a, b) {
			changed = []string{path}
		}
		return changed
	}
	orderA, inA := indexed(a)
	orderB, inB := indexed(b)
	for _, key := range orderB {
		if inA[key] == nil {
			orderA = append(orderA, key)
		}
	}
	for _, key := range orderA {
		below := key
		if !harmlessKey(key) {
			below = Hidden
		}
		if path != "" {
			below = path + "." + below
		}
		changed = append(changed, changedKeys(inA[key], inB[key], below)...)
	}
	return changed
}

// equal reports whether two nodes mean the same. Nil is an absent node.
func equal(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind || a.ShortTag() != b.ShortTag() || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	if !isMapping(a) {
		return slices.EqualFunc(a.Content, b.Content, equal)
	}
	order, inA := indexed(a)
	_, inB := indexed(b)
	return !slices.ContainsFunc(order, func(key string) bool { return !equal(inA[key], inB[key]) })
}

func isMapping(n *yaml.Node) bool { return n != nil && n.Kind == yaml.MappingNode }

// indexed returns the keys of a mapping in order, and their values.
func indexed(n *yaml.Node) (order []string, in map[string]*yaml.Node) {
	in = map[string]*yaml.Node{}
	pairs(n, func(key, value *yaml.Node) {
		if in[key.Value] == nil {
			order = append(order, key.Value)
		}
		in[key.Value] = value
	})
	return order, in
}
