// Package conf reads flowhook's YAML. It knows the layouts and the keys, but not what a hook is: it gives the entries of
// a file with their positions, and everything that is wrong with it.
package conf

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	// MaxSize is how many bytes a file may have.
	MaxSize = 256 << 10

	// A value costs the YAML reader a few hundred bytes, however short it is written. 24,000 of them are more than
	// a file of MaxSize has that people write, and stay below 32 MiB.
	maxValues = 24_000
	maxDepth  = 100
)

// A Place is where in a file something stands. Line and Column count from 1; 0 is unknown.
type Place struct {
	Line, Column int
	Path         string // "selfservice.login.before[0].hook"
}

// A Problem is one thing that is wrong with a file. It never shows a value, which may be a secret.
type Problem struct {
	Place
	Text string
	Hint string // what would be right, if there is more to say
}

// A Doc is a file that could be read. It never changes, and is safe for concurrent use. A nil Doc is an empty file.
type Doc struct{ root *yaml.Node }

// Parse reads a file. It fails only where nothing more can be said about the rest of it.
func Parse(data []byte) (doc *Doc, bad *Problem) {
	if len(data) > MaxSize {
		return nil, &Problem{Text: "the file is too big", Hint: "at most 256 KiB"}
	}
	if values(data) > maxValues {
		return nil, &Problem{Text: "the file has too many values", Hint: "at most 24,000"}
	}
	defer func() {
		if recover() != nil {
			doc, bad = nil, &Problem{Text: "the YAML reader cannot read this file"}
		}
	}()
	var node, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&node); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, unreadable(err, data)
	}
	if deep := tooDeep(&node, maxDepth); deep != nil {
		return nil, &Problem{Place: at(deep), Text: "nested too deeply", Hint: "at most 100 levels"}
	}
	if err := dec.Decode(&second); err == nil {
		return nil, &Problem{Place: at(&second), Text: "a second document", Hint: "a file holds one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, unreadable(err, data)
	}
	root := node.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Value == "" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, &Problem{Place: at(root), Text: "expected a mapping at the top level, found " + kind(root)}
	}
	return &Doc{root}, nil
}

// values counts the bytes that can begin a value, which is at least the number of values.
func values(data []byte) (n int) {
	for _, c := range data {
		switch c {
		case '\n', '\r', ',', ':', '[', '{', '?':
			n++
		}
	}
	return n
}

// unreadable says what the YAML library says, but not an alias, the one thing that it quotes: a secret may begin with *.
func unreadable(err error, data []byte) *Problem {
	p := &Problem{}
	p.Line, p.Text = cutLine(strings.TrimPrefix(err.Error(), "yaml: "))
	for _, parser := range []string{"<", "key", "node", "'-'", "',' or"} {
		if strings.HasPrefix(p.Text, "did not find expected "+parser) {
			p.Line++ // the library counts the lines of its parser's errors from 0, and those of its scanner's from 1
		}
	}
	if anchor, ok := strings.CutPrefix(p.Text, "unknown anchor '"); ok {
		before, _, found := bytes.Cut(data, []byte("*"+strings.TrimSuffix(anchor, "' referenced")))
		if found {
			p.Line = 1 + bytes.Count(before, []byte("\n"))
			p.Column = len(before) - bytes.LastIndexByte(before, '\n')
		}
		p.Text, p.Hint = "an alias without its anchor", "quote a value that begins with *"
	}
	p.Text = "not YAML: " + p.Text
	return p
}

// cutLine cuts off the line that a message of the YAML library begins with; 0 if it has none.
func cutLine(text string) (line int, rest string) {
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, rest, _ := strings.Cut(rest, ": ")
		if line, err := strconv.Atoi(number); err == nil {
			return line, rest
		}
	}
	return 0, text
}

// tooDeep gives the first node that has more than levels above it. It does not follow aliases.
func tooDeep(n *yaml.Node, levels int) *yaml.Node {
	if levels < 0 {
		return n
	}
	for _, c := range n.Content {
		if deep := tooDeep(c, levels-1); deep != nil {
			return deep
		}
	}
	return nil
}

func at(n *yaml.Node) Place { return Place{Line: n.Line, Column: n.Column} }
