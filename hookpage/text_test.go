package hookpage_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/stretchr/testify/require"
)

// The YAML of each lane is a file with the same lane.
func TestHandler_YAML(t *testing.T) {
	opts := options()
	opts.Flows, opts.Strategies = []flowhook.Flow{"a: b"}, []flowhook.Strategy{"#c"}
	p := build(t, parse(t, trialYAML+`
    "a: b":
      after: {"#c": {hooks: [{hook: note, timeout: 2s, phase: before_persist, config: {key: "${HOME}"}}, {hook: audit}]}}
      failed: {"#c": {hooks: [{hook: audit}]}, hooks: [{hook: note}]}
`), opts)
	lanes := jsonOf(t, p).Lanes
	require.Len(t, lanes, 13)
	for _, l := range lanes {
		text := query(t, p, "?format=yaml&lane="+url.QueryEscape(l.Lane))
		text = strings.Replace(text, "selfservice:", "selfservice:\n  allowed_return_urls: [/app]", 1)
		same := build(t, parse(t, text), opts)
		found := l.hooks() == "null"
		for _, again := range jsonOf(t, same).Lanes {
			if again.Lane == l.Lane {
				found = true
				require.Equal(t, l.hooks(), again.hooks(), text)
			}
		}
		require.True(t, found, text)
	}
}

// A target with a query of one word is copied as it is written.
func TestHandler_YAMLOfTarget(t *testing.T) {
	p := build(t, parse(t,
		`selfservice: {settings: {after: [{hook: redirect, config: {to: "/settings?saved"}}]}}`), options())
	text := query(t, p, "?format=yaml&lane=settings")
	require.NotContains(t, text, "hidden")
	require.Contains(t, query(t, build(t, parse(t, text), options()), "?format=yaml&lane=settings"), "to: '/settings?saved'")
}

func TestHandler_YAMLOfAddedHook(t *testing.T) {
	cfg := parse(t, "selfservice: {login: {after: [{hook: audit}]}}")
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "own\nhook", idle)
	require.Equal(t, `# login by any strategy
# Added in Go, at after: own hook
selfservice:
  flows:
    login:
      after:
        hooks:
          - hook: audit
            phase: after
`, query(t, build(t, cfg, options()), "?lane=login&format=yaml"))
}

func TestHandler_Mermaid(t *testing.T) {
	p := build(t, parse(t, trialYAML), options())
	require.Equal(t, p.Plan().MermaidLane(flowhook.Login, flowhook.Code), query(t, p, "?lane=login/code&format=mermaid"))
	require.Equal(t, p.Plan().MermaidLane(flowhook.Login, ""), query(t, p, "?lane=login&format=mermaid"))
	require.Equal(t, p.Plan().Mermaid(flowhook.Login), query(t, p, "?flow=login&format=mermaid"))
	server := httptest.NewServer(hookpage.Handler(p, hookpage.Options{}))
	defer server.Close()
	for query, want := range map[string]string{"?lane=login&format=mermaid": "text/plain; charset=utf-8",
		"?lane=login&format=yaml": "text/plain; charset=utf-8", "?format=json": "application/json"} {
		answer, err := server.Client().Get(server.URL + query)
		require.NoError(t, err)
		answer.Body.Close()
		require.Equal(t, want, answer.Header.Get("Content-Type"))
		require.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))
	}
}

// data is the part of the JSON that the tests read.
type data struct {
	Title  string
	Status struct {
		SHA256     string
		LastReload struct{ Errors []string } `json:"last_reload"`
	}
	Lanes    []laneData
	Warnings int
	DryRun   *struct {
		Lane, Result string
		Verified     bool
	} `json:"dry_run"`
}

type laneData struct {
	Lane, Title, Summary, Closed string
	Steps                        []stepData
	Failed                       *stepData
}

type stepData struct {
	Phase string
	Items []struct {
		Hook *struct {
			Name, Config string
			FlowWide     bool  `json:"flow_wide"`
			Timeout      int64 `json:"timeout_ns"`
		}
		Lit bool
	}
}

func jsonOf(t *testing.T, p *flowhook.Pipeline) (d data) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(query(t, p, "?format=json")), &d))
	return d
}

// hooks returns the hooks of a lane.
func (l laneData) hooks() string {
	var hooks []any
	steps := l.Steps
	if l.Failed != nil {
		steps = append(steps, *l.Failed)
	}
	for _, s := range steps {
		for _, i := range s.Items {
			if i.Hook != nil {
				hooks = append(hooks, s.Phase, i.Hook)
			}
		}
	}
	text, _ := json.Marshal(hooks)
	return string(text)
}

func TestHandler_JSON(t *testing.T) {
	p := build(t, parse(t, trialYAML), options())
	var d data
	require.NoError(t, json.Unmarshal([]byte(query(t, p, "?format=json&flow=registration&verified=1",
		hookpage.Options{Title: "T"})), &d))
	require.Equal(t, "T", d.Title)
	require.Equal(t, p.Plan().Hash(), d.Status.SHA256)
	require.Equal(t, "registration", d.DryRun.Lane)
	require.Equal(t, "302 to /closed. Nothing is saved.", d.DryRun.Result)
	require.True(t, d.DryRun.Verified)
	for _, l := range d.Lanes {
		if l.Lane == "registration" {
			require.Equal(t, "CLOSED → /closed", l.Summary)
			require.True(t, l.Steps[0].Items[1].Lit)
			require.Equal(t, "redirect", l.Steps[0].Items[1].Hook.Name)
			require.False(t, l.Steps[1].Items[0].Lit)
		}
	}
	require.Nil(t, jsonOf(t, p).DryRun)
}

// A program needs no case for null, except where there is nothing at all.
func TestHandler_JSONArrays(t *testing.T) {
	path := t.TempDir() + "/auth.yml"
	require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
	for _, p := range []*flowhook.Pipeline{build(t, nil, options()), build(t, parse(t, trialYAML), options())} {
		var all map[string]any
		require.NoError(t, json.Unmarshal([]byte(query(t, p, "?format=json", hookpage.Options{File: path})), &all))
		require.IsType(t, []any{}, all["flows_without_hooks"])
		require.Empty(t, nulls("", all, map[string]bool{"status.last_failure": true, "status.last_refusal": true, "dry_run": true,
			"lanes[].failed": true, "lanes[].steps[].items[].hook.figures": true}))
	}
}

// nulls returns the paths of the nulls in a value that may not be null.
func nulls(path string, v any, may map[string]bool) (found []string) {
	switch v := v.(type) {
	case nil:
		if !may[path] && !may[strings.Replace(path, "failed.", "steps[].", 1)] {
			found = []string{path}
		}
	case map[string]any:
		for key, value := range v {
			found = append(found, nulls(strings.TrimPrefix(path+"."+key, "."), value, may)...)
		}
	case []any:
		for _, value := range v {
			found = append(found, nulls(path+"[]", value, may)...)
		}
	}
	return found
}

// TestHandler_Secrets puts a canary into every place that may hold a secret, and asks for everything.
func TestHandler_Secrets(t *testing.T) {
	t.Setenv("HOOKPAGE_SECRET", "CANARY-of-the-environment-1")
	opts := options()
	opts.Secrets, opts.Wrap = nil, hookpage.NewRecorder().Wrap
	opts.Hooks["note"] = func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		return idle, decode(&map[string]any{})
	}
	const file = `
secrets: {session: [CANARY-Zq7v2LhXk9TzR4mWc8NbYp3sJd6FaEuK1o5wVxHiSt0, "${HOOKPAGE_SECRET}"]}
dsn: postgres://user:CANARY@db/x
selfservice:
  flows:
    login:
      before:
        hooks:
          - hook: note
            config:
              CANARY9: word
              api_key: canary
              token: "${HOOKPAGE_SECRET}"
              url: "https://hooks.example.org/CANARY?CANARY#CANARY"
              headers: {Authorization: Bearer CANARY, X-Key: [CANARY-1]}
              body: "CANARY\nCANARY"
              pin: 31337
      after:
        hooks: [{hook: redirect, config: {to: "https://www.example.org/a?CANARY#CANARY"}}]
`
	path := t.TempDir() + "/auth.yml"
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	cfg, err := flowhook.LoadConfig(path)
	require.NoError(t, err)
	p := build(t, cfg, opts)
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(file, "CANARY", "CANARY-other")), 0o600))
	for _, parameters := range []string{"", "?format=json", "?lane=login", "?lane=login&format=yaml",
		"?lane=login&format=mermaid", "?flow=login&format=mermaid", "?flow=login&format=json"} {
		body := query(t, p, parameters, hookpage.Options{File: path, Recorder: hookpage.NewRecorder()})
		require.NotContains(t, strings.ToLower(body), "canary", parameters)
		require.NotContains(t, body, "31337", parameters)
	}
	require.Contains(t, words(get(t, p)), "token: '${HOOKPAGE_SECRET}'", "a reference is as it is written")
	require.Contains(t, words(get(t, p)), "url: 'https://hooks.example.org/<hidden-value>'")
	inOrder(t, query(t, p, "?lane=login&format=yaml"),
		"# Replace each <hidden-value>: the page hides what may be a secret.\n", "token: '${HOOKPAGE_SECRET}'")
}
