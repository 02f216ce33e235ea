package flowhook_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// gate is a hook of the host's own that says where it goes and what it does.
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
	opts := anything()
	opts.Hooks = map[string]flowhook.HookFactory{
		"gate": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return g, nil },
	}
	return opts
}

func TestPlacer(t *testing.T) {
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
		{"before_is_not_asked", "selfservice: {login: {before: [{hook: gate}]}}", flowhook.BeforePersist, flowhook.Before, ""},
		{"bad_phase", text, flowhook.Failed, "", `1:49: selfservice.login.after.password[0].hook: ` +
			`Place of hook "gate" returned the phase "failed"; want "after" or "before_persist"`},
		{"panic", text, "panic", "", `Place of hook "gate": panic: startled`},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, err := flowhook.New(parse(t, row.text), withGate(gate{phase: row.phase}))
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

func TestPlacer_RedirectOfTheHost(t *testing.T) {
	opts := anything()
	opts.Hooks = map[string]flowhook.HookFactory{
		"greet": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
			return flowhook.Redirect("/welcome"), nil
		},
	}
	p, err := flowhook.New(parse(t, "selfservice: {registration: {after: [{hook: greet}]}}"), opts)
	require.NoError(t, err)
	for point := range p.Plan().Points() {
		require.Equal(t, flowhook.After, point.Phase, "only the built-in redirect moves")
	}
}

func TestDescriber(t *testing.T) {
	const text = "selfservice: {login: {after: [{hook: gate, timeout: 2s}]}}"
	p, err := flowhook.New(parse(t, text), withGate(gate{flowhook.After, "Lets staff in.", nil}))
	require.NoError(t, err)
	for _, hooks := range p.Plan().Points() {
		require.Equal(t, "Lets staff in.", hooks[0].Description)
	}

	_, err = flowhook.New(parse(t, text), withGate(gate{flowhook.After, "panic", nil}))
	require.ErrorContains(t, err, `Describe of hook "gate": panic: startled`)
}

func TestExchange_Position(t *testing.T) {
	var ran flowhook.Position
	opts := withGate(gate{flowhook.After, "", &ran})
	opts.Store = memstore.New()
	cfg := parse(t, "selfservice: {login: {after: [{hook: gate}]}}")
	cfg.Add(loginGate, "earlier", flowhook.HookFunc(nothing))
	p, err := flowhook.New(cfg, opts)
	require.NoError(t, err)
	x := &flowhook.Exchange{Request: newRequest()}
	inSave := flowhook.Position{Line: 1}
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, func(context.Context) error {
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
	require.Equal(t, loaded, first.Loaded(), "a plan never changes")
}

func TestPlan_MermaidOfSomeFlows(t *testing.T) {
	p := configured(t, many)
	require.Contains(t, p.Plan().Mermaid(flowhook.Login, flowhook.Settings), `"login by oidc"`)
	require.Contains(t, p.Plan().Mermaid(flowhook.Login, flowhook.Settings), `"settings by profile"`)
	require.NotContains(t, p.Plan().Mermaid(flowhook.Login, flowhook.Settings), "registration")
	require.Contains(t, p.Plan().Mermaid(flowhook.Recovery), "no hooks")
	require.Contains(t, p.Plan().Mermaid(), "registration")
}

func TestPipeline_LastReload(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	opts := anything()
	opts.Now = func() time.Time { return now }
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	at, err := p.LastReload()
	require.NoError(t, err)
	require.Equal(t, now, at)

	now = now.Add(time.Hour)
	bad := p.Reload(parse(t, "selfservice: {login: {after: [{hook: nobody}]}}"))
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

func TestPipeline_Check(t *testing.T) {
	opts := anything()
	opts.Accept = []string{"closed"}
	p, err := flowhook.New(parse(t, "session: {cookie: {name: sid, path: /app}}"), opts)
	require.NoError(t, err)
	before := p.Plan()
	found := p.Check(parse(t, "{session: {cookie: {name: sid, path: /}}, selfservice: {login: {before: [{hook: redirect, config: {to: /x}}]}}}"))
	require.Contains(t, rulesOf(found), "cookie-scope", "it compares with the current configuration, as Reload does")
	require.NotContains(t, rulesOf(found), "closed", "it has the pipeline's options")
	require.Equal(t, []string{"invalid"}, rulesOf(p.Check(parse(t, "selfservice: {login: {after: [{hook: nobody}]}}"))))
	require.Same(t, before, p.Plan(), "it changes nothing")
	at, err := p.LastReload()
	require.NoError(t, err)
	require.Equal(t, before.Loaded(), at)
}
