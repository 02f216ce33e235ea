package draw

import (
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// named returns the name of a hook.
func named(name string) conf.Value { return conf.Value{Node: &yaml.Node{Value: name}} }

// chains makes hooks of "flow/phase/strategy name", or "flow/phase/strategy redirect /target", and
// their chains.
func chains(flows, strategies []string, lines ...string) []plan.Chain {
	var hooks []*conf.Entry
	for i, line := range lines {
		at, name, _ := strings.Cut(line, " ")
		point := strings.Split(at+"/", "/")
		h := &conf.Entry{Seq: i, Flow: point[0], Phase: point[1], Strategy: point[2], Hook: named(name)}
		if name, target, ok := strings.Cut(name, " "); ok && name == "redirect" {
			h.Hook, h.Target = named(name), target
		}
		hooks = append(hooks, h)
	}
	return plan.Chains(hooks, flows, strategies)
}

func one(t *testing.T, lines ...string) *lane {
	t.Helper()
	d := parse(t, Mermaid(chains([]string{"login"}, nil, lines...)))
	require.Len(t, d.lanes, 1)
	return d.lanes[0]
}

func TestMermaid_Lane(t *testing.T) {
	l := one(t, "login/before ban", "login/before_persist gate", "login/after session", "login/after audit")
	require.Equal(t, "login by any strategy", l.title)
	require.Equal(t, []string{"login by any strategy", "before: ban", "your handler", "before_persist: gate", "(save)", "(after: session)",
		"(after: audit)", "commit", "your handler answers, unless a hook has answered"}, l.path(t, l.starts[0]))
	require.Empty(t, l.dead)
	require.Empty(t, l.marked("answers"))
}

func TestMermaid_FailedHooks(t *testing.T) {
	l := one(t, "login/failed audit")
	require.Equal(t, []string{"login by any strategy", "your handler", "(save)", "commit", "your handler answers"}, l.path(t, l.starts[0]))
	require.Len(t, l.fails, 1)
	require.Equal(t, "your handler", l.label[l.fails[0][0]])
	require.Equal(t, []string{"if it fails", "failed: audit", "your handler answers with the error, unless a hook has answered"}, l.path(t, l.fails[0][1]))

	l = one(t, "login/failed redirect /sorry", "login/failed audit")
	require.Equal(t, []string{"if it fails", "failed: redirect", "302 to /sorry"}, l.path(t, l.fails[0][1]))
	require.Equal(t, []string{"302 to /sorry"}, l.marked("answers"))
	require.Equal(t, []string{"failed: audit | never runs"}, l.marked("never"))
}

func TestMermaid_RedirectAnswers(t *testing.T) {
	for _, row := range []struct {
		name  string
		hooks []string
		path  []string
		never []string
	}{
		{"at before, and nothing else is reached", []string{"login/before redirect /closed", "login/before ban", "login/after session"},
			[]string{"login by any strategy", "before: redirect", "302 to /closed"},
			[]string{"before: ban | never runs", "your handler", "save", "after: session | never runs"}},
		{"at before_persist, and nothing is saved", []string{"login/before_persist redirect /closed", "login/after session", "login/after redirect /home"},
			[]string{"login by any strategy", "your handler", "before_persist: redirect", "302 to /closed"},
			[]string{"save", "after: session | never runs", "after: redirect | never runs"}},
		{"at after, when all is committed", []string{"login/after session", "login/after redirect /home", "login/after audit"},
			[]string{"login by any strategy", "your handler", "(save)", "(after: session)", "(after: redirect)", "commit", "302 to /home, unless an earlier hook answers"},
			[]string{"after: audit | never runs"}},
		{"and a second one does not", []string{"login/after redirect /home", "login/after redirect /away"},
			[]string{"login by any strategy", "your handler", "(save)", "(after: redirect)", "commit", "302 to /home"},
			[]string{"after: redirect | never runs"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := one(t, row.hooks...)
			require.Equal(t, row.path, l.path(t, l.starts[0]))
			require.Equal(t, row.never, l.marked("never"))
			require.Equal(t, row.path[len(row.path)-1:], l.marked("answers"))
			require.Len(t, l.dead, len(row.never), "each is behind an arrow that does not arrive")
		})
	}
}

func TestMermaid_Lanes(t *testing.T) {
	d := parse(t, Mermaid(chains([]string{"login", "registration", "logout"}, []string{"password", "oidc"},
		"login/before ban", "login/after audit", "login/after/password revoke", "registration/after/oidc session", "logout/after audit")))
	paths := map[string][]string{}
	var titles []string
	for _, l := range d.lanes {
		titles = append(titles, l.title)
		paths[l.title] = l.path(t, l.starts[0])
	}
	require.Equal(t, []string{"login by password", "login by any other strategy", "registration by oidc",
		"registration by any other strategy", "logout by any strategy"}, titles)
	require.Equal(t, []string{"lane1 lane2", "lane2 lane3", "lane3 lane4", "lane4 lane5"}, d.below)
	require.Equal(t, []string{"login by password", "before: ban", "your handler", "(save)", "(after: revoke)", "(after: audit, flow-wide)", "commit", "your handler answers, unless a hook has answered"}, paths["login by password"])
	require.Equal(t, []string{"login by any other strategy", "before: ban", "your handler", "(save)", "(after: audit)", "commit", "your handler answers, unless a hook has answered"}, paths["login by any other strategy"])
	require.Equal(t, []string{"registration by any other strategy", "your handler", "(save)", "commit", "your handler answers"}, paths["registration by any other strategy"])
}

func TestLane(t *testing.T) {
	all := chains([]string{"login", "registration"}, []string{"password", "oidc"},
		"login/before ban", "login/after audit", "login/after/password revoke", "registration/after/oidc session")
	for _, row := range []struct{ flow, strategy, want string }{
		{"login", "password", "login by password"},
		{"login", "", "login by any other strategy"},
		{"login", "oidc", "login by any other strategy"},
		{"registration", "oidc", "registration by oidc"},
	} {
		d := parse(t, Lane(all, row.flow, row.strategy))
		require.Len(t, d.lanes, 1)
		require.Equal(t, row.want, d.lanes[0].title)
	}
	require.Equal(t, []string{"no hooks"}, parse(t, Lane(all, "logout", "")).alone)
}

func TestMermaid_NoHooks(t *testing.T) {
	d := parse(t, Mermaid(nil))
	require.Empty(t, d.lanes)
	require.Equal(t, []string{"no hooks"}, d.alone)
}

func TestMermaid_LabelHasPositionAndTimeout(t *testing.T) {
	all := chains([]string{"login"}, nil, "login/after audit")
	all[0].Hooks[0].File, all[0].Hooks[0].Timeout = "auth.yml:9:17", 2*time.Second
	l := parse(t, Mermaid(all)).lanes[0]
	require.Contains(t, l.path(t, l.starts[0]), "(after: audit, at most 2s | auth.yml:9:17)")
}

// TestMermaid_Draws in internal/drawtest shows how Mermaid draws these.
func TestMermaid_HostileText(t *testing.T) {
	for _, name := range []string{`"]`, "`**`", "<b>", "&lt;", "#quot;", "%%{init: {}}%%", "end", "a; b", "$$x$$", "fa:fa-car", "x --> y", "ä 名", "https://example.org"} {
		all := chains([]string{name}, []string{name}, "F/after/S "+name)
		all = append(all, plan.Chain{Flow: name, Phase: plan.After, Strategy: name, AnsweredBy: []*conf.Entry{nil},
			Hooks: []*conf.Entry{{Hook: named(name), Target: name, File: name, Strategy: name}}})
		l := parse(t, Mermaid(all)).lanes[0]
		require.Equal(t, name+" by "+name, l.title)
		require.Equal(t, []string{name + " by " + name, "your handler", "(save)", "(after: " + name + " | " + name + ")", "commit", "302 to " + name}, l.path(t, l.starts[0]))
	}
	require.Equal(t, "#36;#8288;#36;#8288;", escape("$$"), "Mermaid would make a formula of what it has decoded")
	require.Equal(t, "fa#58;#8288;fa-car", escape("fa:fa-car"), "and an icon of this")
	require.Equal(t, "a#63;b#63;c#63;", escape("a\nb\u202ec\x00"))
}
