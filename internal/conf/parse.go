// Package conf reads flowhook's YAML. It returns the settings and the hooks of a file with their
// positions, and all problems of the file. It knows the layouts and the keys, but no hook.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	// MaxSize is the largest size of a file, in bytes.
	MaxSize = 256 << 10

	// The YAML library needs a few hundred bytes for each value, however short the value is. No
	// real file of MaxSize has 22,000 values, which need less than 32 MiB.
	maxValues = 22_000
	maxDepth  = 100
)

// A Problem is one mistake in a file. It never shows a value, which may be a secret.
type Problem struct {
	Value // the place; may have nothing but a line and a column
	Text  string
	Hint  string // how to correct it; may be empty
}

func problem(n *yaml.Node, text, hint string) *Problem { return &Problem{Value{Node: n}, text, hint} }

// Parse parses a file. It returns the first problem that makes the rest of the file unreadable. An
// empty file has the zero root.
func Parse(data []byte) (root Value, bad *Problem) {
	if len(data) > MaxSize {
		return root, problem(&yaml.Node{}, "the file is too big", "at most 256 KiB")
	}
	if values(data) > maxValues {
		return root, problem(&yaml.Node{}, "the file has too many values", "at most 22,000")
	}
	defer func() {
		if recover() != nil {
			root, bad = Value{}, problem(&yaml.Node{}, "the YAML reader cannot read this file", "")
		}
	}()
	var node, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&node); errors.Is(err, io.EOF) {
		return root, nil
	} else if err != nil {
		return root, unreadable(err, data)
	}
	if deep := tooDeep(&node, maxDepth); deep != nil {
		return root, problem(deep, "nested too deeply", "at most 100 levels")
	}
	markTags(&node, data)
	if err := dec.Decode(&second); err == nil {
		return root, problem(&second, "a second document", "a file holds one")
	} else if !errors.Is(err, io.EOF) {
		return root, unreadable(err, data)
	}
	top := node.Content[0]
	switch {
	case top.Kind == yaml.MappingNode:
		return Value{Node: top}, nil
	case top.Kind == yaml.ScalarNode && top.Tag == "!!null" && top.Value == "":
		return root, nil
	}
	return root, problem(top, "expected a mapping at the top level, found "+kind(top), "")
}

// values returns the number of bytes that can begin a value. The number of values is not higher.
func values(data []byte) (n int) {
	for _, c := range data {
		switch c {
		case '\n', '\r', ',', ':', '[', '{', '?':
			n++
		}
	}
	return n
}

// ofParser matches errors of the YAML library's parser, which count lines from 0. Those of its
// scanner count from 1.
var ofParser = regexp.MustCompile("^did not find expected (<|key|node|'-'|',' or)")

// unreadable returns an error of the YAML library as a problem, with a hint if it finds the
// mistake. It does not quote the file: what looks like an alias may be a secret that begins with *.
func unreadable(err error, data []byte) *Problem {
	line, text := cutLine(strings.TrimPrefix(err.Error(), "yaml: "))
	if ofParser.MatchString(text) {
		line++
	}
	if anchor, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		at := &yaml.Node{}
		if before, _, ok := bytes.Cut(data, []byte("*"+strings.TrimSuffix(anchor, "' referenced"))); ok {
			at.Line = 1 + bytes.Count(before, []byte("\n"))
			at.Column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
		}
		return problem(at, "not YAML: an alias without its anchor", "quote a value that begins with *")
	}
	for _, m := range mistakes {
		if !strings.HasPrefix(text, m.text) {
			continue
		}
		first := max(line, 1)                        // the library omits the first line
		for _, at := range []int{first, first + 1} { // it may report the line before a tab
			if place := m.at.FindSubmatchIndex(lineOf(data, at)); place != nil && (at == first || m.problem == aTab) {
				return problem(&yaml.Node{Line: at, Column: 1 + utf8.RuneCount(lineOf(data, at)[:place[2]])}, "not YAML: "+m.problem, m.hint)
			}
		}
	}
	if text == "did not find expected '-' indicator" { // at the line of the list's first item
		if at := afterList(data, line); at != nil {
			return problem(at, "not YAML: a key at the column of the list's dashes", "indent it, or begin it with a dash")
		}
	}
	return problem(&yaml.Node{Line: line}, "not YAML: "+text, "")
}

const aTab = "a tab"

// afterList returns the first key at the column of the dashes of a list, after the line that the
// list begins on. It returns nil if there is none.
func afterList(data []byte, line int) *yaml.Node {
	indent := func(text []byte) int { return len(text) - len(bytes.TrimLeft(text, " ")) }
	column := indent(lineOf(data, line))
	for at := line + 1; at <= 1+bytes.Count(data, []byte("\n")); at++ {
		text := lineOf(data, at)
		word := bytes.TrimLeft(text, " ")
		if len(word) > 0 && word[0] != '#' && indent(text) <= column {
			if indent(text) == column && word[0] != '-' {
				return &yaml.Node{Line: at, Column: column + 1}
			}
			if indent(text) < column {
				break
			}
		}
	}
	return nil
}

// mistakes are errors of the YAML library that do not name the mistake.
var mistakes = []struct {
	text          string         // how the error begins
	at            *regexp.Regexp // its group is the mistaken character
	problem, hint string
}{
	{"found character that cannot start any token", regexp.MustCompile(`^[ \t?:-]*?(\t)`), aTab, "indent with spaces"},
	{"found a tab character", regexp.MustCompile(`^ *(\t)`), aTab, "indent with spaces"},
	{"found character that cannot start any token", regexp.MustCompile("(?:^|[\\s\\[{,])([@`%])"),
		"a value that begins with @, ` or %", "quote it"},
	{"did not find expected alphabetic or numeric character",
		regexp.MustCompile(`(?:^|[\s\[{,])([*&])(?:[^0-9A-Za-z_-]|$)`),
		"a value that begins with * or &, and is neither an alias nor an anchor", "quote it"},
}

// lineOf returns a line of data. Lines count from 1.
func lineOf(data []byte, line int) []byte {
	for range line - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	data, _, _ = bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(data, []byte("\r"))
}

// cutLine cuts the line number off an error of the YAML library. It returns 0 if there is none.
func cutLine(text string) (line int, rest string) {
	if _, err := fmt.Sscanf(text, "line %d: ", &line); err == nil {
		_, text, _ = strings.Cut(text, ": ")
	}
	return line, text
}

// tooDeep returns the first node that has more than levels above it. It does not follow aliases.
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
