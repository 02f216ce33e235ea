package conf

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// lineBreaks are those that the YAML library counts.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// markTags sets the style of each node in n that begins with an exclamation mark, as the YAML
// library does for tags other than ! itself, which it drops: "! secret" would be "secret".
func markTags(n *yaml.Node, data []byte) {
	if !utf8.Valid(data) { // UTF-16
		return
	}
	lines := strings.Split(lineBreaks.Replace(strings.TrimPrefix(string(data), "\ufeff")), "\n")
	var mark func(n *yaml.Node)
	mark = func(n *yaml.Node) {
		for _, child := range n.Content {
			mark(child)
		}
		if 0 < n.Line && n.Line <= len(lines) && n.Kind != yaml.DocumentNode && !beginsWithKey(n) &&
			isMark(lines[n.Line-1], n.Column) {
			n.Style |= yaml.TaggedStyle
		}
	}
	mark(n)
}

// beginsWithKey reports whether a mapping begins where its first key does: a tag there is the key's.
func beginsWithKey(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && len(n.Content) > 0 &&
		n.Content[0].Line == n.Line && n.Content[0].Column == n.Column
}

// isMark reports whether a line has an exclamation mark at a column, which counts characters from 1.
func isMark(line string, column int) bool {
	for _, r := range line {
		if column--; column == 0 {
			return r == '!'
		}
	}
	return false
}
