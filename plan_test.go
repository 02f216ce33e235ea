package flowhook_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A gate is a hook of the host that implements Placer and Describer.
type gate struct {
	phase       flowhook.Phase
	description string
	ran         *flowhook.Position
}

func (g gate) Run(_ context.Context, x *flowhook.Exchange) error {
	if g.ran != nil {
		*g.ran = x.Position()
	}
	return nil
}

func (g gate) Place(flowhook.Point) flowhook.Phase {
	if g.phase == "panic" {
		panic("startled")
	}
	return g.phase
}

func (g gate) Describe() string {
	if g.description == "panic" {
		panic("startled")
	}
	return g.description
}

// withGate returns the options with a factory for the hook "gate".
func withGate(g gate) flowhook.Options {
	opts := flowtest.AnyOptions()
	opts.Hooks = map[string]flowhook.HookFactory{
		"gate": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return g, nil },
	}
	return opts
}

func TestPlan_Placer(t *testing.T) {
	const text = "selfservice: {login: {after: {password: [{hook: gate}]}}}"
	for _, row := range []struct {
		name, text string
		phase      flowhook.Phase
		want       flowhook.Phase
		err        string
	}{
		{"moves", text, flowhook.BeforePersist, flowhook.BeforePersist, ""},
		{"stays", text, flowhook.After, flowhook.After, ""},
		{"entry_says_after", "selfservice: {login: {after: {password: [{hook: gate, phase: after}]}}}",
			flowhook.BeforePersist, flowhook.After, ""},
		{"before_is_not_asked", "selfservice: {login: {before: [{hook: gate}]}}", flowhook.BeforePersist,
			flowhook.Before, ""},
		{"bad_phase", text, flowhook.Failed, "", `1:49: selfservice.login.after.password[0].hook: ` +
			`Place of hook "gate" returned the phase "failed"; want "after" or "before_persist"`},
		{"panic", text, "panic", "", `Place of hook "gate": panic: startled`},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, err := flowhook.New(flowtest.Parse(t, row.text), withGate(gate{phase: row.phase}))
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			for point, hooks := range p.Plan().Points() {
				require.Equal(t, row.want, point.Phase)
				require.Equal(t, row.want, hooks[0].Point.Phase)
			}
		})
	}
}

func TestPlan_PlacerRedirectOfTheHost(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.Hooks = map[string]flowhook.HookFactory{
		"greet": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
			return flowhook.Redirect("/welcome"), nil
		},
	}
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {registration: {after: [{hook: greet}]}}"), opts)
	require.NoError(t, err)
	for point := range p.Plan().Points() {
		require.Equal(t, flowhook.After, point.Phase, "only the built-in redirect moves")
	}
}

func TestPlan_Describer(t *testing.T) {
	const text = "selfservice: {login: {after: [{hook: gate, timeout: 2s}]}}"
	p, err := flowhook.New(flowtest.Parse(t, text), withGate(gate{flowhook.After, "Lets staff in.", nil}))
	require.NoError(t, err)
	for _, hooks := range p.Plan().Points() {
		require.Equal(t, "Lets staff in.", hooks[0].Description)
	}

	_, err = flowhook.New(flowtest.Parse(t, text), withGate(gate{flowhook.After, "panic", nil}))
	require.ErrorContains(t, err, `Describe of hook "gate": panic: startled`)
}

// A finder is a hook of the host that implements Finder.
type finder struct {
	find func(p flowhook.Point) []flowhook.Finding
}

func (finder) Run(context.Context, *flowhook.Exchange) error { return nil }

func (f finder) Place(flowhook.Point) flowhook.Phase { return flowhook.BeforePersist }

func (f finder) Findings(p flowhook.Point) []flowhook.Finding { return f.find(p) }

// withFinder returns the options with a factory for the hook "crm".
func withFinder(find func(p flowhook.Point) []flowhook.Finding) flowhook.Options {
	opts := flowtest.AnyOptions()
	opts.Secrets = nil // they have a finding
	opts.Hooks = map[string]flowhook.HookFactory{
		"crm": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			var config struct {
				Auth struct{ Type string }
			}
			return finder{find}, decode(&config)
		},
	}
	return opts
}

func TestFinder(t *testing.T) {
	const text = "selfservice: {login: {after: [{hook: crm, timeout: 1s, config: {auth: {type: basic}}}]}}"
	var at flowhook.Point
	one := flowhook.Finding{Path: "auth.type", Severity: flowhook.SeverityWarning, Rule: "basic",
		Problem: "sends a password", Hint: "sign instead"}
	find := func(p flowhook.Point) []flowhook.Finding {
		at = p
		return []flowhook.Finding{one, {Rule: "slow", Problem: "waits", Path: "none.type"},
			{Rule: "late", Problem: "is late", Path: "auth.none"}}
	}
	opts := withFinder(find)
	p, err := flowhook.New(flowtest.Parse(t, text), opts)
	require.NoError(t, err)
	require.Equal(t, flowhook.Point{Flow: flowhook.Login, Phase: flowhook.BeforePersist}, at, "where the hook runs")
	want := []flowhook.Finding{
		{Position: flowhook.Position{Line: 1, Column: 38}, Path: "selfservice.login.after[0].hook",
			Rule: "crm/slow", Problem: "waits"},
		{Position: flowhook.Position{Line: 1, Column: 71}, Path: "selfservice.login.after[0].config.auth",
			Rule: "crm/late", Problem: "is late"},
		{Position: flowhook.Position{Line: 1, Column: 78}, Path: "selfservice.login.after[0].config.auth.type",
			Severity: flowhook.SeverityWarning, Rule: "crm/basic", Problem: "sends a password", Hint: "sign instead"},
	}
	require.Equal(t, want, p.Plan().Findings())
	for _, hooks := range p.Plan().Points() {
		require.Equal(t, want, hooks[0].Findings)
	}

	t.Run("accepted", func(t *testing.T) {
		opts := withFinder(find)
		opts.Accept = []string{"crm/basic", "crm/not_reported_now"}
		p, err := flowhook.New(flowtest.Parse(t, text), opts)
		require.NoError(t, err)
		require.Equal(t, want[:2], p.Plan().Findings())
		opts.Accept = []string{"crm2/basic"}
		_, err = flowhook.New(flowtest.Parse(t, text), opts)
		require.ErrorContains(t, err, `Options.Accept[0]: unknown rule "crm2/basic"`)
	})
	t.Run("accepted by the file", func(t *testing.T) {
		accept := func(rule string) string {
			return text + "\nflowhook: {accept: [{rule: " + rule + ", reason: intended}]}"
		}
		p, err := flowhook.New(flowtest.Parse(t, accept("crm/basic")), withFinder(find))
		require.NoError(t, err)
		require.Equal(t, want[:2], p.Plan().Findings())
		for _, hooks := range p.Plan().Points() {
			require.Equal(t, want[:2], hooks[0].Findings)
		}
		found := flowtest.Parse(t, accept("crm/not_reported_now")).Check(withFinder(find))
		require.Equal(t, []string{"crm/basic", "crm/late", "crm/slow", "unused-accept"}, flowtest.RulesOf(found))
		_, err = flowhook.New(flowtest.Parse(t, accept("crm2/basic")), withFinder(find))
		require.ErrorContains(t, err, `2:28: flowhook.accept[0].rule: unknown rule "crm2/basic"`)
	})
	t.Run("strict", func(t *testing.T) {
		opts := withFinder(find)
		opts.Strict = true
		_, err := flowhook.New(flowtest.Parse(t, text), opts)
		require.EqualError(t, err, "1:78: selfservice.login.after[0].config.auth.type: sends a password; sign instead")
	})
	t.Run("error", func(t *testing.T) {
		one := one
		one.Severity = flowhook.SeverityError
		opts := withFinder(func(flowhook.Point) []flowhook.Finding { return []flowhook.Finding{one} })
		opts.Accept = []string{"crm/basic"}
		_, err := flowhook.New(flowtest.Parse(t, text), opts)
		require.EqualError(t, err, "1:78: selfservice.login.after[0].config.auth.type: sends a password; sign instead")

		_, err = flowhook.New(flowtest.Parse(t, "selfservice: {login: {after: [{hook: crm}, {hook: unknown}]}}"), opts)
		require.ErrorContains(t, err, "1:38: selfservice.login.after[0].hook: sends a password")
		require.ErrorContains(t, err, `unknown hook "unknown"`, "all errors at once")
		found := flowtest.Parse(t, text).Check(opts)
		require.Len(t, found, 1)
		require.Equal(t, "crm/basic", found[0].Rule)
		require.Equal(t, flowhook.SeverityError, found[0].Severity)
	})
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "auth.yml"),
			[]byte(strings.Replace(text, "basic", "'file://type.txt'", 1)), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "type.txt"), []byte("basic"), 0o600))
		cfg, err := flowhook.LoadConfig(filepath.Join(dir, "auth.yml"))
		require.NoError(t, err)
		found := cfg.Check(withFinder(find))
		require.Len(t, found, 3)
		require.Equal(t, "file://type.txt: sends a password", found[2].Problem)
		require.Equal(t, want[2].Path, found[2].Path)
		require.Equal(t, want[1].Problem, found[1].Problem, "of a mapping")
	})
	t.Run("slow-lock", func(t *testing.T) {
		opts := withFinder(func(flowhook.Point) []flowhook.Finding { return nil })
		opts.Hooks["dull"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(flowtest.NoOp), nil
		}
		for hook, want := range map[string]int{"crm": 0, "dull": 1} {
			text := "selfservice: {login: {after: [{hook: " + hook + ", phase: after}, {hook: revoke_active_sessions}]}}"
			require.Len(t, flowtest.Parse(t, text).Check(opts), want, hook)
		}
	})
	t.Run("added", func(t *testing.T) {
		cfg := new(flowhook.Config)
		cfg.Add(flowtest.LoginGate, "own", finder{find})
		opts := withFinder(nil)
		opts.Accept = []string{"own/basic"}
		p, err := flowhook.New(cfg, opts)
		require.NoError(t, err)
		found := p.Plan().Findings()
		require.Len(t, found, 2)
		require.Equal(t, "own/slow", found[0].Rule)
		require.NotZero(t, found[0].Line)

		cfg = flowtest.Parse(t, "flowhook: {accept: [{rule: own/basic, reason: intended}]}")
		cfg.Add(flowtest.LoginGate, "own", finder{find})
		require.Equal(t, []string{"own/late", "own/slow"}, flowtest.RulesOf(cfg.Check(withFinder(nil))))
	})
	for name, bad := range map[string]flowhook.Finding{
		"no_rule":    {Problem: "waits"},
		"no_problem": {Rule: "slow"},
		"severity":   {Rule: "slow", Problem: "waits", Severity: 3},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := flowhook.New(flowtest.Parse(t, text), withFinder(func(flowhook.Point) []flowhook.Finding {
				return []flowhook.Finding{bad}
			}))
			require.ErrorContains(t, err, `1:38: selfservice.login.after[0].hook: Findings of hook "crm": `+
				"a finding needs a rule, a problem and a severity")
		})
	}
	t.Run("panic", func(t *testing.T) {
		_, err := flowhook.New(flowtest.Parse(t, text), withFinder(func(flowhook.Point) []flowhook.Finding {
			panic("startled")
		}))
		require.ErrorContains(t, err, `Findings of hook "crm": panic: startled`)
	})
}

// A keyer is a hook of the host that implements Keyer.
type keyer struct{ key string }

func (keyer) Run(context.Context, *flowhook.Exchange) error { return nil }

func (k keyer) Key() (key, hint string) {
	if k.key == "panic" {
		panic("startled")
	}
	return k.key, "write another"
}

func TestKeyer(t *testing.T) {
	opts := withFinder(nil)
	factory := func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		var config struct{ Key string }
		err := decode(&config)
		return keyer{config.Key}, err
	}
	opts.Hooks["lock"], opts.Hooks["door"] = factory, factory
	const text = "selfservice: {login: {after: [{hook: lock, config: {key: %s}}]}, settings: {after: [{hook: %s, config: {key: %s}}]}}"
	for _, row := range []struct{ first, hook, second, want string }{
		{"a", "lock", "b", ""},
		{"a", "door", "a", ""},
		{"''", "lock", "''", ""},
		{"a", "lock", "a", `1:91: selfservice.settings.after[0].hook: hook "lock" has the same key as the one at 1:38; write another`},
		{"a", "lock", "panic", `1:91: selfservice.settings.after[0].hook: Key of hook "lock": panic: startled`},
	} {
		_, err := flowhook.New(flowtest.Parse(t, fmt.Sprintf(text, row.first, row.hook, row.second)), opts)
		if row.want == "" {
			require.NoError(t, err, "%v", row)
		} else {
			require.EqualError(t, err, row.want)
		}
	}
}

// A starter is a hook of the host that implements Starter.
type starter struct{ started func() }

func (starter) Run(context.Context, *flowhook.Exchange) error { return nil }

func (s starter) Started() { s.started() }

func TestStarter(t *testing.T) {
	var p *flowhook.Pipeline
	var log []string
	started := func() { log = append(log, p.Plan().Hash()[:4]) }
	opts := withFinder(nil)
	var logged strings.Builder
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	opts.Hooks["start"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return starter{started}, nil }
	text := func(n int) string {
		return fmt.Sprintf("selfservice: {login: {after: [{hook: start, timeout: %ds}, {hook: start}]}}", n)
	}
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	require.Empty(t, log)
	require.NoError(t, p.Reload(flowtest.Parse(t, text(1))))
	one := p.Plan().Hash()[:4]
	require.Equal(t, []string{one, one}, log, "once for each entry, when the plan is the current one")
	p.Check(flowtest.Parse(t, text(2)))
	require.Error(t, p.Reload(flowtest.Parse(t, strings.Replace(text(2), "hook: start}", "hook: none}", 1))))
	require.Len(t, log, 2, "neither Check nor a rejected Reload uses the hooks")
	require.NoError(t, p.Reload(flowtest.Parse(t, text(2))))
	require.Len(t, log, 4)
	require.Equal(t, p.Plan().Hash()[:4], log[3])

	started = func() { panic("startled") }
	require.NoError(t, p.Reload(flowtest.Parse(t, text(3))))
	require.Contains(t, logged.String(), "startled")
}

func TestExchange_Position(t *testing.T) {
	var ran flowhook.Position
	opts := withGate(gate{flowhook.After, "", &ran})
	opts.Store = memstore.New()
	cfg := flowtest.Parse(t, "selfservice: {login: {after: [{hook: gate}]}}")
	cfg.Add(flowtest.LoginGate, "earlier", flowhook.HookFunc(flowtest.NoOp))
	p, err := flowhook.New(cfg, opts)
	require.NoError(t, err)
	x := &flowhook.Exchange{Request: flowtest.NewRequest()}
	inSave := flowhook.Position{Line: 1}
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password,
		func(context.Context) error {
			inSave = x.Position()
			return nil
		})
	require.NoError(t, err)
	require.Equal(t, flowhook.Position{Line: 1, Column: 38}, ran)
	require.Zero(t, inSave)
	require.Zero(t, x.Position())
}

func TestPlan_LoadedAndHash(t *testing.T) {
	const text = "selfservice: {login: {before: [{hook: redirect, config: {to: /x}}]}}"
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg, err := flowhook.LoadConfig(path)
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{Now: func() time.Time { return now }})
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(text))
	first := p.Plan()
	require.Equal(t, hex.EncodeToString(sum[:]), first.Hash())
	require.Equal(t, now, first.Loaded())

	loaded := now
	now = now.Add(time.Hour)
	require.NoError(t, p.Reload(nil))
	require.Empty(t, p.Plan().Hash())
	require.Equal(t, now, p.Plan().Loaded())
	require.Equal(t, loaded, first.Loaded(), "the plan has changed")
}

func TestPlan_MermaidSelectedFlows(t *testing.T) {
	p := configured(t, everyPlaceYAML)
	require.Contains(t, p.Plan().Mermaid(flowhook.Login, flowhook.Settings), `"login by oidc"`)
	require.Contains(t, p.Plan().Mermaid(flowhook.Login, flowhook.Settings), `"settings by profile"`)
	require.NotContains(t, p.Plan().Mermaid(flowhook.Login, flowhook.Settings), "registration")
	require.Contains(t, p.Plan().Mermaid(flowhook.Recovery), "no hooks")
	require.Contains(t, p.Plan().Mermaid(), "registration")
}

func TestPlan_MermaidLane(t *testing.T) {
	pl := configured(t, everyPlaceYAML).Plan()
	for title, at := range map[string]flowhook.Point{
		"registration by password":           {Flow: flowhook.Registration, Strategy: flowhook.Password},
		"registration by any other strategy": {Flow: flowhook.Registration, Strategy: flowhook.Code},
		"login by any other strategy":        {Flow: flowhook.Login},
	} {
		drawing := pl.MermaidLane(at.Flow, at.Strategy)
		require.Equal(t, 1, strings.Count(drawing, " subgraph lane"), title)
		require.Contains(t, drawing, `(["`+title+`"])`)
	}
}

func TestPlan_AllowsReturnTo(t *testing.T) {
	pl := configured(t, "selfservice: {allowed_return_urls: [/app, 'https://*.example.org/x']}").Plan()
	for to, want := range map[string]bool{"/app/a": true, "https://a.example.org/x?y": true, "/": false,
		"https://example.com/x": false, "": false} {
		require.Equal(t, want, pl.AllowsReturnTo(to), to)
	}
}

// Config hides what may be a secret, and shows references as they are written.
func TestPlan_Config(t *testing.T) {
	t.Setenv("FLOWHOOK_TEST_TOKEN", flowtest.Canary)
	p := configured(t, `selfservice: {login: {before: [{hook: canary, config:
		{token: "${FLOWHOOK_TEST_TOKEN}", api_key: `+flowtest.Canary+`, tries: 5}}]}}`,
		func(cfg *flowhook.Config, o *flowhook.Options) {
			o.Hooks = map[string]flowhook.HookFactory{
				"canary": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
					return flowhook.HookFunc(flowtest.NoOp), decode(&map[string]any{})
				},
			}
		})
	require.Equal(t, "{token: '${FLOWHOOK_TEST_TOKEN}', api_key: <hidden-value>, tries: 5}", points(p)[0].hooks[0].Config)
}

func TestPipeline_Preview(t *testing.T) {
	const running = "selfservice: {login: {after: [{hook: redirect, config: {to: /one}}]}}"
	p := configured(t, running, func(_ *flowhook.Config, o *flowhook.Options) {
		o.Strict, o.Secrets = true, []string{flowtest.StrongSecret}
	})
	current := p.Plan()
	pl, err := p.Preview(flowtest.Parse(t, strings.Replace(running, "/one", "/two", 1)))
	require.NoError(t, err)
	require.Contains(t, pl.String(), "/two")
	require.Zero(t, pl.Loaded())
	for _, bad := range []string{
		"selfservice: {login: {after: [{hook: nobody}]}}",
		"selfservice: {login: {after: [{hook: redirect, config: {to: /x}}, {hook: revoke_active_sessions}]}}", // a warning
	} {
		pl, err = p.Preview(flowtest.Parse(t, bad))
		require.Nil(t, pl)
		require.Equal(t, flowtest.Problems(p.Reload(flowtest.Parse(t, bad))), flowtest.Problems(err))
		require.NotEmpty(t, flowtest.Problems(err))
	}
	require.Same(t, current, p.Plan())
	at, _ := p.LastReload()
	_, err = p.Preview(nil)
	require.NoError(t, err)
	again, _ := p.LastReload()
	require.Equal(t, at, again)
}

func TestPipeline_LastReload(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	opts := flowtest.AnyOptions()
	opts.Now = func() time.Time { return now }
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	at, err := p.LastReload()
	require.NoError(t, err)
	require.Equal(t, now, at)

	now = now.Add(time.Hour)
	bad := p.Reload(flowtest.Parse(t, "selfservice: {login: {after: [{hook: nobody}]}}"))
	require.Error(t, bad)
	at, err = p.LastReload()
	require.Equal(t, bad, err)
	require.Equal(t, now, at)

	now = now.Add(time.Hour)
	require.NoError(t, p.Reload(nil))
	at, err = p.LastReload()
	require.NoError(t, err)
	require.Equal(t, now, at)
}

func TestPlan_Flows(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.Flows = append(opts.Flows, "invite")
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	require.Subset(t, p.Plan().Flows(), []flowhook.Flow{flowhook.Login, flowhook.Registration, flowhook.Settings,
		flowhook.Verification, flowhook.Recovery, flowhook.Logout, "invite"})
	opts.Serves = []flowhook.Point{{Flow: "invite"}, {Flow: flowhook.Login, Strategy: flowhook.Password}}
	p, err = flowhook.New(nil, opts)
	require.NoError(t, err)
	require.Equal(t, []flowhook.Flow{flowhook.Login, "invite"}, p.Plan().Flows())
}

func TestPlan_VerificationPage(t *testing.T) {
	opts := flowtest.AnyOptions()
	p, err := flowhook.New(flowtest.Parse(t, `selfservice: {flows: {
		verification: {ui_url: "https://auth.example.org/confirm?token=canary"},
		login: {after: {hooks: [{hook: require_verified_address}, {hook: verify},
			{hook: show_verification_ui, config: {to: "/sent?canary"}}]}}}}`), opts)
	require.NoError(t, err)
	pages := map[string]string{}
	for _, hooks := range p.Plan().Points() {
		for _, h := range hooks {
			pages[h.Name] = h.VerificationPage
			require.Empty(t, h.Target, "it is no redirect, which always answers")
			require.False(t, h.NeverRuns)
		}
	}
	require.Equal(t, map[string]string{"require_verified_address": "https://auth.example.org/confirm",
		"show_verification_ui": "/sent", "verify": ""}, pages)
}

func TestPipeline_ReloadFrom(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	opts := flowtest.AnyOptions()
	opts.Now = func() time.Time { return now }
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	before := p.Plan()
	for _, row := range []struct {
		text string
		load error
		want string
	}{
		{"", errors.New("no such file"), "no such file"},
		{"selfservice: {login: {after: [{hook: nobody}]}}", nil, `unknown hook "nobody"`},
		{"selfservice: {login: {after: [{hook: redirect, config: {to: /x}}]}}", nil, ""},
	} {
		now = now.Add(time.Hour)
		got := p.ReloadFrom(func() (*flowhook.Config, error) { return flowtest.Parse(t, row.text), row.load })
		at, err := p.LastReload()
		require.Equal(t, now, at)
		require.Equal(t, got, err)
		if row.want == "" {
			require.NoError(t, err)
			require.NotSame(t, before, p.Plan())
			continue
		}
		require.ErrorContains(t, err, row.want)
		require.Same(t, before, p.Plan())
	}
}

func TestPipeline_ReloadFrom_NoConfiguration(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {login: {after: [{hook: redirect, config: {to: /x}}]}}"),
		flowtest.AnyOptions())
	require.NoError(t, err)
	before := p.Plan()
	got := p.ReloadFrom(func() (*flowhook.Config, error) { return nil, nil })
	require.EqualError(t, got, "flowhook: load returned no configuration")
	require.Same(t, before, p.Plan())
	_, err = p.LastReload()
	require.Equal(t, got, err)
}

// The configuration that was loaded last must win, so loads and factories of different calls must
// not overlap.
func TestPipeline_ReloadFrom_Concurrent(t *testing.T) {
	const text = "selfservice: {login: {after: [{hook: audit}]}}"
	var busy, loads, overlaps atomic.Int32
	alone := func() {
		if !busy.CompareAndSwap(0, 1) {
			overlaps.Add(1)
			return
		}
		for range 100 {
			runtime.Gosched()
		}
		busy.Store(0)
	}
	opts := flowtest.AnyOptions()
	opts.Hooks = map[string]flowhook.HookFactory{"audit": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
		alone()
		return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return nil }), nil
	}}
	p, err := flowhook.New(flowtest.Parse(t, text), opts)
	require.NoError(t, err)
	var newest string // the hash of the configuration that was loaded last
	load := func() (*flowhook.Config, error) {
		alone()
		text := fmt.Sprintf("%s # %d", text, loads.Add(1))
		sum := sha256.Sum256([]byte(text))
		newest = hex.EncodeToString(sum[:])
		return flowhook.ParseConfig([]byte(text))
	}
	other := flowtest.Parse(t, text)
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for range 10 {
				assert.NoError(t, p.ReloadFrom(load))
			}
		})
		calls.Go(func() {
			for range 10 {
				assert.NoError(t, p.Reload(other))
			}
		})
	}
	calls.Wait()
	require.Zero(t, overlaps.Load())
	require.NoError(t, p.ReloadFrom(load))
	require.Equal(t, newest, p.Plan().Hash())
}

func TestPipeline_Check(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.Accept = []string{"closed"}
	p, err := flowhook.New(flowtest.Parse(t, "session: {cookie: {name: sid, path: /app}}"), opts)
	require.NoError(t, err)
	before := p.Plan()
	found := p.Check(flowtest.Parse(t, "{session: {cookie: {name: sid, path: /}}, selfservice: {login: {before: [{hook: redirect, config: {to: /x}}]}}}"))
	require.Contains(t, flowtest.RulesOf(found), "cookie-scope",
		"Check must compare with the current configuration, as Reload does")
	require.NotContains(t, flowtest.RulesOf(found), "closed", "Check must use the pipeline's options")
	require.Equal(t, []string{"invalid"}, flowtest.RulesOf(p.Check(flowtest.Parse(t,
		"selfservice: {login: {after: [{hook: nobody}]}}"))))
	require.Same(t, before, p.Plan(), "Check has changed the plan")
	at, err := p.LastReload()
	require.NoError(t, err)
	require.Equal(t, before.Loaded(), at)
}

// everyPlaceYAML has every kind of place: a closed flow, hooks of a strategy, flow-wide hooks, and
// a hook that never runs.
const everyPlaceYAML = `selfservice:
  flows:
    settings:
      before:
        hooks:
          - hook: redirect
            config:
              to: https://www.example.org/closed?ticket=secret#there
      after:
        profile:
          hooks:
            - hook: audit
    registration:
      after:
        password:
          hooks:
            - hook: audit
              phase: before_persist
              timeout: 2s
            - hook: session
            - hook: redirect
              phase: after
              timeout: 1m30s
              config:
                to: /welcome
            - hook: audit
        hooks:
          - hook: verify
      failed:
        hooks:
          - hook: audit
    login:
      after:
        oidc:
          hooks:
            - hook: session
courier: {}
`

// A pointHooks is one point and its hooks, as Points returns them.
type pointHooks struct {
	at    flowhook.Point
	hooks []flowhook.HookInfo
}

func points(p *flowhook.Pipeline) (all []pointHooks) {
	for at, hooks := range p.Plan().Points() {
		all = append(all, pointHooks{at, hooks})
	}
	return all
}

// configured makes a pipeline from a file, with all that any hook in it needs.
func configured(t *testing.T, text string, change ...func(cfg *flowhook.Config,
	o *flowhook.Options)) *flowhook.Pipeline {
	t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	opts := flowtest.AnyOptions()
	opts.VerificationURL = "https://auth.example.org/verify"
	for _, c := range change {
		c(cfg, &opts)
	}
	p, err := flowhook.New(cfg, opts)
	require.NoError(t, err)
	return p
}

func TestPlan_Points(t *testing.T) {
	p := configured(t, everyPlaceYAML)
	line := func(line, column int) flowhook.Position { return flowhook.Position{Line: line, Column: column} }
	var (
		wide  = flowtest.At(flowhook.Registration, flowhook.After, flowhook.FlowWide)
		gate  = flowtest.At(flowhook.Registration, flowhook.BeforePersist, flowhook.Password)
		after = flowtest.At(flowhook.Registration, flowhook.After, flowhook.Password)
		fail  = flowtest.At(flowhook.Registration, flowhook.Failed, flowhook.FlowWide)
		oidc  = flowtest.At(flowhook.Login, flowhook.After, flowhook.OIDC)
		shut  = flowtest.At(flowhook.Settings, flowhook.Before, flowhook.FlowWide)
		saved = flowtest.At(flowhook.Settings, flowhook.After, flowhook.Profile)
	)
	verify := flowhook.HookInfo{Name: "verify", Position: line(28, 19), Point: wide}
	verifyBehind := verify
	verifyBehind.NeverRuns = true
	audit := flowhook.HookInfo{Name: "audit", Position: line(31, 19), Point: fail, Custom: true}
	want := []pointHooks{ // flows in the order of their constants
		{oidc, []flowhook.HookInfo{{Name: "session", Position: line(36, 21), Point: oidc}}},
		{wide, []flowhook.HookInfo{verify}},
		{fail, []flowhook.HookInfo{audit}},
		{gate, []flowhook.HookInfo{{Name: "audit", Position: line(17, 21), Point: gate, Custom: true,
			Timeout: 2 * time.Second}}},
		{after, []flowhook.HookInfo{
			{Name: "session", Position: line(20, 21), Point: after},
			{Name: "redirect", Position: line(21, 21), Point: after, Target: "/welcome", Timeout: 90 * time.Second,
				Config: "{to: /welcome}"},
			{Name: "audit", Position: line(26, 21), Point: after, Custom: true, NeverRuns: true},
			verifyBehind,
		}},
		{flowtest.At(flowhook.Registration, flowhook.Failed, flowhook.Password), []flowhook.HookInfo{audit}},
		{shut, []flowhook.HookInfo{{Name: "redirect", Position: line(6, 19), Point: shut,
			Target: "https://www.example.org/closed", Config: "{to: 'https://www.example.org/closed<hidden-value>'}"}}},
		{saved, []flowhook.HookInfo{{Name: "audit", Position: line(12, 21), Point: saved, Custom: true,
			NeverRuns: true}}},
	}
	got := points(p)
	require.Len(t, got, len(want))
	for i := range got {
		for j := range got[i].hooks {
			got[i].hooks[j].Findings = nil // below
			require.Equal(t, got[i].hooks[j].Name == "audit", got[i].hooks[j].Description == "",
				"built-in hooks must have a description")
			got[i].hooks[j].Description = ""
		}
		require.Equal(t, want[i], got[i])
	}

	t.Run("points are a table", func(t *testing.T) {
		require.Equal(t, strings.TrimPrefix(`
POINT                                 HOOK                                        AT
login/after/oidc                      session                                     36:21
registration/after                    verify                                      28:19
registration/failed                   audit                                       31:19
registration/before_persist/password  audit, at most 2s                           17:21
registration/after/password           session                                     20:21
                                      redirect to /welcome, at most 1m30s         21:21  answers
                                      audit                                       26:21  never runs
                                      verify                                      28:19  never runs
registration/failed/password          audit                                       31:19
settings/before                       redirect to https://www.example.org/closed  6:19   answers
settings/after/profile                audit                                       12:21  never runs
`, "\n"), p.Plan().String())
		require.Equal(t, "no hooks\n", configured(t, "").Plan().String())
	})

	t.Run("findings are with their hooks", func(t *testing.T) {
		beside := map[string][]string{}
		for _, l := range points(p) {
			for _, h := range l.hooks {
				for _, f := range h.Findings {
					require.Contains(t, p.Plan().Findings(), f)
					key := l.at.String() + " " + h.Name + " " + h.Position.String()
					beside[key] = append(beside[key], f.Rule)
				}
			}
		}
		require.Equal(t, map[string][]string{
			"registration/after/password session 20:21": {"enumeration", "kratos-session-last"},
			"registration/after/password audit 26:21":   {"never-runs"},
			"registration/after verify 28:19":           {"never-runs"}, // by password, it says
			"registration/after/password verify 28:19":  {"never-runs"},
			"settings/before redirect 6:19":             {"closed"},
			"settings/after/profile audit 12:21":        {"never-runs"},
		}, beside)
	})

	t.Run("slices belong to the caller", func(t *testing.T) {
		was := fmt.Sprintf("%+v", points(p))
		for _, hooks := range p.Plan().Points() {
			for i := range hooks {
				clear(hooks[i].Findings)
			}
			clear(hooks)
		}
		clear(p.Plan().Findings())
		require.Equal(t, was, fmt.Sprintf("%+v", points(p)))
		require.NotZero(t, p.Plan().Findings()[0])
		for range p.Plan().Points() {
			break // an iterator may be left
		}
	})
}

func TestPlan_PointsOfAddedHooks(t *testing.T) {
	invite := flowtest.At("invite", flowhook.After, "magic")
	p := configured(t, "selfservice: {flows: {invite: {after: {magic: {hooks: [{hook: audit}]}}}}}",
		func(cfg *flowhook.Config, _ *flowhook.Options) {
			cfg.Add(invite, "greets", flowhook.HookFunc(flowtest.NoOp))
			cfg.Add(invite, "session", nil)
			cfg.Add(invite, "redirect", flowhook.Redirect("https://example.org/?token=secret"))
			cfg.Add(invite, "redirect", flowhook.Redirect("/#secret"))
		})
	all := points(p)
	require.Len(t, all, 1)
	require.Equal(t, invite, all[0].at)
	var got []string
	for _, h := range all[0].hooks {
		require.Equal(t, invite, h.Point)
		require.Equal(t, h.Name == "audit" || h.Name == "greets", h.Custom)
		got = append(got, h.Name+" "+h.Target)
		if h.Name != "audit" {
			require.Equal(t, "plan_test.go", filepath.Base(h.Position.File))
			require.Positive(t, h.Position.Line)
		}
	}
	require.Equal(t, []string{"audit ", "greets ", "session ", "redirect https://example.org/", "redirect /"}, got)
	require.NotContains(t, p.Plan().String(), "secret")
}

// A host may declare names that flowhook knows, or one name twice. Each is listed once.
func TestPlan_DuplicateDeclarations(t *testing.T) {
	const text = "selfservice: {login: {after: {password: [{hook: session}], magic: [{hook: session}]}}, invite: {after: [{hook: session}]}}"
	once := configured(t, text)
	twice := configured(t, text, func(_ *flowhook.Config, o *flowhook.Options) {
		o.Flows = []flowhook.Flow{flowhook.Login, "invite", "invite"}
		o.Strategies = []flowhook.Strategy{flowhook.Password, "magic", "magic"}
	})
	require.Equal(t, points(once), points(twice))
	require.Equal(t, once.Plan().Findings(), twice.Plan().Findings())
	require.Equal(t, 3, strings.Count(twice.Plan().String(), "session"), twice)
}

func TestPlan_PointsAfterReload(t *testing.T) {
	p := configured(t, everyPlaceYAML)
	before := p.Plan().Points()
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: {password: [{hook: sesion}]}}}"))
	require.NoError(t, err)
	was := p.Plan().String()
	require.Error(t, p.Reload(cfg))
	require.Equal(t, was, p.Plan().String())

	cfg, err = flowhook.ParseConfig([]byte("selfservice: {login: {after: {password: [{hook: session}]}}}"))
	require.NoError(t, err)
	require.NoError(t, p.Reload(cfg))
	all := points(p)
	all[0].hooks[0].Description = ""
	require.Equal(t, []pointHooks{{flowtest.LoginAfter,
		[]flowhook.HookInfo{{Name: "session", Position: flowhook.Position{Line: 1, Column: 49},
			Point: flowtest.LoginAfter}}}}, all)
	require.NotContains(t, flowtest.RulesOf(p.Plan().Findings()), "enumeration")
	n := 0
	for range before {
		n++
	}
	require.Equal(t, 8, n, "an iterator must see one configuration")
}

func TestPlan_FollowsReturnTo(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, `
selfservice:
  allowed_return_urls: [/app]
  login: {after: {oidc: [{hook: redirect, config: {to: "/home?token=x", allow_user_defined_redirect: true}}], code: [{hook: redirect, config: {to: /}}]}}
`), flowhook.Options{})
	require.NoError(t, err)
	asks := map[string]bool{}
	for _, hooks := range p.Plan().Points() {
		asks[hooks[0].Target] = hooks[0].FollowsReturnTo
	}
	require.Equal(t, map[string]bool{"/home": true, "/": false}, asks)
	require.Contains(t, p.Plan().String(), "redirect to /home or return_to ")
	require.Contains(t, p.Plan().Mermaid(), "home or return_to")
}

// noting returns options whose hook "note" records its name from the config.
func noting(ran *[]string) flowhook.Options {
	opts := flowtest.AnyOptions()
	opts.Hooks = map[string]flowhook.HookFactory{
		"note": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			var config struct {
				Name string `yaml:"name"`
			}
			err := decode(&config)
			return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
				*ran = append(*ran, config.Name)
				return nil
			}), err
		},
	}
	return opts
}

func TestPlan_HookOrder(t *testing.T) {
	const text = `
selfservice:
  flows:
    login:
      failed:
        hooks: [{hook: note, config: {name: wide 1}}, {hook: note, config: {name: wide 2}}]
        password:
          hooks: [{hook: note, config: {name: own 1}}, {hook: note, config: {name: own 2}}]
`
	var ran []string
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	first, err := flowhook.New(cfg, noting(&ran))
	require.NoError(t, err)
	add := func(s flowhook.Strategy, name string) {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Failed, Strategy: s}, name,
			flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran = append(ran, name); return nil }))
	}
	add(flowhook.FlowWide, "wide 3")
	add(flowhook.Password, "own 3")
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Failed}, "note", nil)
	second, err := flowhook.New(cfg, noting(&ran))
	require.NoError(t, err)

	for _, row := range []struct {
		p        *flowhook.Pipeline
		strategy flowhook.Strategy
		want     []string
	}{
		{first, flowhook.Password, []string{"own 1", "own 2", "wide 1", "wide 2"}}, // Add came later: it has no effect
		{first, flowhook.OIDC, []string{"wide 1", "wide 2"}},
		{second, flowhook.Password, []string{"own 1", "own 2", "own 3", "wide 1", "wide 2", "wide 3", ""}},
		{second, "magic", []string{"wide 1", "wide 2", "wide 3", ""}},
		{second, flowhook.FlowWide, []string{"wide 1", "wide 2", "wide 3", ""}},
	} {
		ran = nil
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil),
			Err: assert.AnError}
		ctx := flowhook.NewContext(context.Background(), x)
		handled, err := row.p.Run(ctx, flowhook.Login, flowhook.Failed, row.strategy)
		assert.NoError(t, err)
		assert.False(t, handled)
		assert.Equal(t, row.want, ran)
	}
}

func TestPlan_NeverRunsIsLogged(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       []string // level, hook, its line, and the redirect's; each hook is on a line of its own
	}{
		{"nothing", `{login: {before: [{hook: note}], after: [{hook: note}, {hook: redirect, config: {to: /}}]}}`, nil},
		{"within a chain", `{login: {failed: [{hook: redirect, config: {to: /}}, {hook: note}, {hook: redirect, config: {to: /}}]}}`,
			[]string{"WARN note 3 2", "WARN redirect 4 2"}},
		{"flow-wide after a strategy's", `{login: {after: {hooks: [{hook: note}], oidc: [{hook: redirect, config: {to: /}}]}}}`,
			[]string{"WARN note 2 3"}},
		{"before", `{login: {before: [{hook: redirect, config: {to: /}}], failed: [{hook: note}], after: {code: [{hook: note}, {hook: note, phase: before_persist}]}}}`,
			[]string{"INFO note 4 2", "INFO note 5 2"}},
		{"before persist", `{registration: {after: {hooks: [{hook: redirect, config: {to: /}}], code: [{hook: note}]}}}`,
			[]string{"WARN note 3 2"}},
		{"before persist of one strategy", `{registration: {after: {hooks: [{hook: note}], code: [{hook: redirect, config: {to: /}}], link: [{hook: note}]}}}`,
			[]string{"WARN note 2 3"}},
		{"of another flow", `{registration: {before: [{hook: redirect, config: {to: /}}]}, login: {after: [{hook: note}]}}`, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			opts := noting(new([]string))
			opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
			require.NoError(t, flowtest.Build("selfservice: "+strings.ReplaceAll(row.text, "{hook:", "\n {hook:"),
				opts))
			var got []string
			for _, m := range regexp.MustCompile(`level=(\S+) msg="flowhook: hook \\"(\S+)\\" .*redirect at (\d+):9 .*rule=never-runs at=(\d+):9`).FindAllStringSubmatch(log.String(), -1) {
				got = append(got, m[1]+" "+m[2]+" "+m[4]+" "+m[3])
			}
			assert.Equal(t, row.want, got)
		})
	}
}

func TestPlan_DeclaredPointsRun(t *testing.T) {
	p, err := flowhook.New(nil, flowtest.AnyOptions())
	require.NoError(t, err)
	for _, flow := range flowtest.Flows {
		for _, phase := range flowtest.Phases {
			for _, s := range flowtest.Strategies {
				x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil)}
				_, err := p.Run(flowhook.NewContext(context.Background(), x), flow, phase, s)
				assert.NoError(t, err, "%s/%s/%s", flow, phase, s)
			}
		}
	}
}

// Each of many strategies has its own hooks, and an undeclared one is unknown.
func TestPlan_ManyStrategies(t *testing.T) {
	for _, many := range []int{1, 10, 20, 40} {
		b := flowtest.NewRunTest(t)
		for i := range many {
			s := flowhook.Strategy(fmt.Sprintf("own-%d", i))
			b.Options.Strategies = append(b.Options.Strategies, s)
			b.Add(flowtest.At(flowhook.Login, flowhook.After, s), string(s))
		}
		p := b.Pipeline()
		for _, s := range append([]flowhook.Strategy{flowhook.Password, flowhook.FlowWide}, b.Options.Strategies...) {
			b.Ran = nil
			_, err := p.Run(b.Context, flowhook.Login, flowhook.After, s)
			require.NoError(t, err, "%s of %d", s, many)
			if slices.Contains(b.Options.Strategies, s) {
				require.Equal(t, []string{string(s)}, b.Ran)
			} else {
				require.Empty(t, b.Ran)
			}
		}
		_, err := p.Run(b.Context, flowhook.Login, flowhook.After, "own-40")
		require.ErrorIs(t, err, flowhook.ErrUnknownPoint)
	}
}

func TestNew_ErrorsAreSortedByPosition(t *testing.T) {
	cfg, err := flowhook.ParseConfig([]byte("secrets: {session: []}\nselfservice: {login: {before: [{hook: nobody}], x: 1}}\nsession: {x: 1}"))
	require.NoError(t, err)
	for range 3 {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Before}, "nobody", nil)
	}
	opts := flowtest.AnyOptions()
	opts.Flows = []flowhook.Flow{"flows"}
	_, err = flowhook.New(cfg, opts)
	var places []string
	for _, e := range flowtest.ConfigErrors(err) {
		places = append(places, e.Path)
	}
	assert.Equal(t, []string{"secrets.session", "selfservice.login.before[0].hook", "selfservice.login.x", "session.x",
		`Add(login/before, "nobody")`, `Add(login/before, "nobody")`, `Add(login/before, "nobody")`,
		"Options.Flows[0]"}, places)
}

func TestPlan_HooksAfterRedirectNeverRun(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Config.Add(flowtest.LoginAfter, "redirect", flowhook.Redirect("/"))
	for _, name := range []string{"one", "two", "three"} {
		b.Add(flowtest.LoginAfter, name)
	}
	b.Options.Logger = slog.New(slog.NewTextHandler(b.Log, nil))
	b.Pipeline()
	for _, name := range []string{"one", "two", "three"} {
		require.Equal(t, 1, strings.Count(b.Log.String(), `hook \"`+name+`\" never runs`), b.Log.String())
	}
}

func TestPlan_HooksWithoutConfig(t *testing.T) {
	for _, name := range []string{"session", "revoke_active_sessions"} {
		_, err := flowhook.New(flowtest.Parse(t, "selfservice: {login: {after: [{hook: "+name+", config: {a: b}}]}}"),
			flowtest.AnyOptions())
		require.ErrorContains(t, err, `hook "`+name+`" takes no config; remove it`)
	}
}
