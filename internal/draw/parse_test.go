package draw

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A drawing is what a Mermaid text says, as far as this package writes Mermaid. Whatever else is in
// it is an error.
type drawing struct {
	lanes []*lane
	alone []string // labels of nodes outside of lanes
	below []string // "lane1 lane2"
}

type lane struct {
	title       string
	label       map[string]string // by node
	class       map[string]string
	inside      map[string]bool // the transaction
	solid, dead [][2]string
	fails       [][2]string // from the handler to what happens if it fails
	starts      []string    // nodes that nothing leads to
}

const quoted = `"((?:[\p{L}\p{Nd} \-_./,:]|<br>|#\d+;)+)"` // what is left has no meaning to Mermaid

var (
	laneLine = regexp.MustCompile(`^  subgraph (lane\d+)\[" "\]$`)
	nodeLine = regexp.MustCompile(`^    (n\d+)(?:\[` + quoted + `\]|\(\[` + quoted + `\]\))(?::::(answers|never))?$`)
	edgeLine = regexp.MustCompile(`^    (n\d+) (-->|-\.-x|-\.->) (n\d+)$`)
	pairLine = regexp.MustCompile(`^  (lane\d+) ~~~ (lane\d+)$`)
	bareLine = regexp.MustCompile(`^  empty\[` + quoted + `\]$`)
)

func parse(t *testing.T, text string) drawing {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	require.Equal(t, "flowchart TB", lines[0])
	require.Greater(t, len(lines), 2)
	classes := lines[len(lines)-2:]
	require.Regexp(t, `^  classDef answers \S+$`, classes[0])
	require.Regexp(t, `^  classDef never \S+$`, classes[1])
	var d drawing
	var in *lane
	names, transaction, across := map[string]bool{}, false, 0
	declare := func(name string) {
		require.False(t, names[name], "%s twice", name)
		names[name] = true
	}
	for _, line := range lines[1 : len(lines)-2] {
		lane1, node, edge, pair, bare := laneLine.FindStringSubmatch(line), nodeLine.FindStringSubmatch(line), edgeLine.FindStringSubmatch(line), pairLine.FindStringSubmatch(line), bareLine.FindStringSubmatch(line)
		switch {
		case in == nil && lane1 != nil:
			declare(lane1[1])
			in = &lane{label: map[string]string{}, class: map[string]string{}, inside: map[string]bool{}}
			d.lanes = append(d.lanes, in)
		case in == nil && pair != nil:
			require.True(t, names[pair[1]] && names[pair[2]], line)
			d.below = append(d.below, pair[1]+" "+pair[2])
		case in == nil && bare != nil:
			d.alone = append(d.alone, read(bare[1]))
		case in != nil && line == "    direction LR":
			across++
		case in != nil && regexp.MustCompile(`^    subgraph transaction\d+\["one transaction"\]$`).MatchString(line):
			require.False(t, transaction, line)
			declare(strings.Fields(line)[1])
			transaction = true
		case transaction && line == "    end":
			transaction = false
		case in != nil && !transaction && line == "  end":
			require.Len(t, in.starts, 1, "all nodes are connected")
			in.title = in.label[in.starts[0]]
			in = nil
		case in != nil && node != nil:
			declare(node[1])
			in.label[node[1]], in.class[node[1]], in.inside[node[1]] = read(node[2]+node[3]), node[4], transaction
			in.starts = append(in.starts, node[1])
		case in != nil && !transaction && edge != nil:
			require.Contains(t, in.label, edge[1], line)
			require.Contains(t, in.label, edge[3], line)
			e := [2]string{edge[1], edge[3]}
			switch edge[2] {
			case "-->":
				in.solid = append(in.solid, e)
			case "-.->":
				in.fails = append(in.fails, e)
			default:
				in.dead = append(in.dead, e)
			}
			for i, n := range in.starts {
				if n == edge[3] {
					in.starts = append(in.starts[:i:i], in.starts[i+1:]...)
				}
			}
		default:
			t.Fatalf("not Mermaid as this package writes it: %q in\n%s", line, text)
		}
	}
	require.Nil(t, in, "a lane does not end")
	require.Equal(t, len(d.lanes), across, "each lane goes from left to right")
	require.Equal(t, len(d.lanes) == 0, len(d.alone) > 0, "what is in no lane says that there is none")
	return d
}

// read gives a label as Mermaid shows it: a numeric entity without its ampersand, and an invisible
// joiner.
func read(label string) string {
	label = strings.ReplaceAll(label, "<br>", " | ")
	return strings.ReplaceAll(html.UnescapeString(strings.ReplaceAll(label, "#", "&#")), "\u2060", "")
}

// path follows the solid arrows from a node to the end.
func (l *lane) path(t *testing.T, from string) (labels []string) {
	t.Helper()
	for from != "" {
		label := l.label[from]
		if l.inside[from] {
			label = "(" + label + ")"
		}
		labels = append(labels, label)
		next := ""
		for _, e := range l.solid {
			if e[0] == from {
				require.Empty(t, next, "%q leads to two", label)
				next = e[1]
			}
		}
		from = next
	}
	return labels
}

// marked gives the labels of a class, in the order they are drawn by their arrows.
func (l *lane) marked(class string) (labels []string) {
	for _, e := range append(append([][2]string{}, l.solid...), l.dead...) {
		if l.class[e[1]] == class {
			labels = append(labels, l.label[e[1]])
		}
	}
	return labels
}
