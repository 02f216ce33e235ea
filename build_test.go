package flowhook_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noting gives options whose host hook "note" notes its name from the config, or "" without one.
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

func TestTheOrderOfHooks(t *testing.T) {
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
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/", nil), Err: assert.AnError}
		ctx := flowhook.NewContext(context.Background(), x)
		handled, err := row.p.Run(ctx, flowhook.Login, flowhook.Failed, row.strategy)
		assert.NoError(t, err)
		assert.False(t, handled)
		assert.Equal(t, row.want, ran)
	}
}

func TestWhatNeverRunsIsLogged(t *testing.T) {
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
			require.NoError(t, flowtest.Build("selfservice: "+strings.ReplaceAll(row.text, "{hook:", "\n {hook:"), opts))
			var got []string
			for _, m := range regexp.MustCompile(`level=(\S+) msg="flowhook: hook \\"(\S+)\\" .*redirect at (\d+):9 .*rule=never-runs at=(\d+):9`).FindAllStringSubmatch(log.String(), -1) {
				got = append(got, m[1]+" "+m[2]+" "+m[4]+" "+m[3])
			}
			assert.Equal(t, row.want, got)
		})
	}
}

func TestEveryDeclaredPointCanRun(t *testing.T) {
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

// However many strategies a host has, each has its own hooks, and what is not declared is unknown.
func TestOfManyStrategiesEachHasItsOwnHooks(t *testing.T) {
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

func TestErrorsStandInTheOrderOfTheirPlaces(t *testing.T) {
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
		`Add(login/before, "nobody")`, `Add(login/before, "nobody")`, `Add(login/before, "nobody")`, "Options.Flows[0]"}, places)
}
