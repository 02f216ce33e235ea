package hookpage

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/conf"
	"gopkg.in/yaml.v3"
)

func (v *view) writeJSON(b *bytes.Buffer) error {
	e := json.NewEncoder(b)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeText writes the lane that the query selects as YAML or Mermaid, or a flow as Mermaid.
func (v *view) writeText(b *bytes.Buffer, pl *flowhook.Plan, format string, flow flowhook.Flow) error {
	l := v.selected
	switch {
	case format == "mermaid" && flow != "":
		b.WriteString(pl.Mermaid(flow))
	case l == nil:
		return &badRequest{http.StatusBadRequest, "format=" + format + " needs a lane, such as lane=login"}
	case format == "yaml":
		return l.writeYAML(b)
	default:
		b.WriteString(pl.MermaidLane(flowhook.Flow(l.Flow), flowhook.Strategy(l.Strategy)))
	}
	return nil
}

// writeYAML writes the hooks of a lane as a file.
func (l *lane) writeYAML(b *bytes.Buffer) error {
	b.WriteString("# " + strings.Map(printable, l.Title) + "\n")
	if slices.ContainsFunc(slices.Collect(l.all()), func(h *hook) bool { return strings.Contains(h.Config, conf.Hidden) }) {
		b.WriteString("# Replace each " + conf.Hidden + ": the page hides what may be a secret.\n")
	}
	flow := mapping()
	for _, in := range []string{"before", "after", "failed"} {
		own, wide := mapping(), mapping()
		for h := range l.all() {
			phase := string(h.info.Point.Phase)
			if phase != in && !(phase == "before_persist" && in == "after") {
				continue
			}
			if h.info.Position.Column == 0 {
				b.WriteString("# Added in Go, at " + in + ": " + strings.Map(printable, h.Name) + "\n")
				continue
			}
			to := own
			if h.Wide {
				to = wide
			}
			if len(to.Content) == 0 {
				put(to, "hooks", &yaml.Node{Kind: yaml.SequenceNode})
			}
			list := to.Content[1]
			list.Content = append(list.Content, h.entry())
		}
		phase := mapping()
		if len(own.Content) > 0 {
			put(phase, l.Strategy, own)
		}
		phase.Content = append(phase.Content, wide.Content...)
		if len(phase.Content) > 0 {
			put(flow, in, phase)
		}
	}
	top, self, flows := mapping(), mapping(), mapping()
	put(flows, l.Flow, flow)
	put(self, "flows", flows)
	put(top, "selfservice", self)
	e := yaml.NewEncoder(b)
	e.SetIndent(2)
	return e.Encode(top)
}

// entry returns the entry of a hook.
func (h *hook) entry() *yaml.Node {
	e := mapping()
	put(e, "hook", text(h.Name))
	if phase := h.info.Point.Phase; phase == flowhook.BeforePersist || phase == flowhook.After && h.moves() {
		put(e, "phase", text(string(phase)))
	}
	if h.Timeout > 0 {
		put(e, "timeout", text(h.Timeout.String()))
	}
	var config yaml.Node
	if err := yaml.Unmarshal([]byte(h.Config), &config); err == nil && len(config.Content) == 1 {
		put(e, "config", config.Content[0])
	}
	return e
}

// moves reports whether an entry at after may run at another phase if it does not say which.
func (h *hook) moves() bool {
	return h.info.Custom || h.info.Target != "" || h.Name == "require_verified_address"
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func put(m *yaml.Node, key string, value *yaml.Node) { m.Content = append(m.Content, text(key), value) }

// printable replaces a character that would end a comment.
func printable(r rune) rune {
	if r < ' ' || r == '\u0085' || r == '\u2028' || r == '\u2029' {
		return ' '
	}
	return r
}
