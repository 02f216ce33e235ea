package conf

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// lineBreaks replaces the line breaks of the YAML library with \n.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// markTags sets TaggedStyle in each node in n that begins with an exclamation mark. The YAML
// library does so for other tags, but drops a lone mark: "! secret" would be "secret".
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

// beginsWithKey reports whether a mapping begins at its first key. A tag there belongs to the key.
func beginsWithKey(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && len(n.Content) > 0 &&
		n.Content[0].Line == n.Line && n.Content[0].Column == n.Column
}

// isMark reports whether a line has an exclamation mark at a column. Columns count characters, from
// 1.
func isMark(line string, column int) bool {
	for _, r := range line {
		if column--; column == 0 {
			return r == '!'
		}
	}
	return false
}
