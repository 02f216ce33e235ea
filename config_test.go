package flowhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfig_DocumentExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("testdata/document/*.yml")
	require.NoError(t, err)
	require.Len(t, files, 10)
	opts := flowtest.AnyOptions()
	opts.Secrets = nil
	for _, file := range files {
		cfg, err := flowhook.LoadConfig(file)
		require.NoError(t, err)
		if filepath.Base(file) == "06-registration-after.yml" {
			opts := opts
			opts.Secrets = []string{"something-super-secret"} // the example has none of its own
			_, err = flowhook.New(cfg, opts)
		} else {
			_, err = flowhook.New(cfg, opts)
		}
		assert.NoError(t, err, file)
	}
}

// Each bad file ends with its errors, in order: "#! line:column: path: problem; hint". A trailing
// "..." matches any rest.
func TestConfig_BadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	opts := flowtest.AnyOptions()
	opts.Secrets = nil
	opts.Hooks["panics"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) { panic("on purpose") }
	opts.Hooks["makes_none"] = func(flowhook.Point, func(any) error) (flowhook.Hook,
		error) {
		return flowhook.HookFunc(nil), nil
	}
	opts.Hooks["refuses"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
		return nil, errors.New("refused on purpose")
	}
	opts.Hooks["deaf"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
		return flowhook.HookFunc(flowtest.NoOp), nil
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var want []string
			for _, m := range regexp.MustCompile(`(?m)^#! (.*)$`).FindAllStringSubmatch(string(text), -1) {
				want = append(want, file+":"+m[1])
			}
			require.NotEmpty(t, want)
			cfg, err := flowhook.LoadConfig(file)
			if err == nil {
				_, err = flowhook.New(cfg, opts)
			}
			got := flowtest.Problems(err)
			for i, w := range want {
				if start, cut := strings.CutSuffix(w, "..."); cut && i < len(got) && strings.HasPrefix(got[i], start) {
					want[i] = got[i]
				}
			}
			assert.Equal(t, want, got)
			assert.NotContains(t, strings.Join(got, "\n"), "super-secret")
		})
	}
}

func TestConfig_UnreadableFile(t *testing.T) {
	_, err := flowhook.LoadConfig("testdata/none.yml")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = flowhook.LoadConfig("testdata")
	assert.Error(t, err)
}

func TestConfig_Empty(t *testing.T) {
	_, err := flowhook.New(nil, flowhook.Options{})
	assert.NoError(t, err)
	_, err = flowhook.New(&flowhook.Config{}, flowhook.Options{})
	assert.NoError(t, err)
	for _, text := range []string{"", "# nothing", "---\n", "{}", "dsn: memory"} {
		assert.NoError(t, flowtest.Build(text, flowhook.Options{}), text)
	}
}

// A shortened file of current Kratos: keys that are not about hooks are ignored.
func TestConfig_KratosKeysAreIgnored(t *testing.T) {
	assert.NoError(t, flowtest.Build(`
version: v1.3.0
dsn: memory
x-laughs: &a [ha, ha]
x-more: {b: &b [*a, *a], c: [*b, *b], <<: {d: 1}}
cookies: {domain: example.com, path: /, same_site: Lax}
secrets: {cookie: [0123456789abcdef], cipher: [short], pagination: [short]}
session: {lifespan: 1h, whoami: {required_aal: aal1}, earliest_possible_extend: 1h, cookie: {name: app}}
security: {account_enumeration: {mitigate: true}}
selfservice:
  default_browser_return_url: https://example.com/
  allowed_return_urls: [https://example.com]
  methods: {password: {enabled: true}}
  flows:
    error: {ui_url: /error}
    login: {ui_url: /login, lifespan: 10m, style: unified, after: {hooks: [], default_browser_return_url: /, code: {hooks: []}}}
    registration:
      enabled: true
      login_hints: true
      enable_legacy_one_step: false
      before: {hooks: [{hook: redirect, config: {to: /closed}}]}
      after: {password: {default_browser_return_url: /, hooks: [{hook: session}]}}
    settings: {privileged_session_max_age: 15m, required_aal: aal1, before: {hooks: []}}
    verification: {enabled: true, use: code, notify_unknown_recipients: false, ui_url: https://example.com/verify}
    logout: {after: {default_browser_return_url: /login}}
`, flowhook.Options{Store: flowtest.AnyStore{}}))
}

func TestNew_InvalidOptions(t *testing.T) {
	factory := func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
		return flowhook.HookFunc(flowtest.NoOp), nil
	}
	_, err := flowhook.New(nil, flowhook.Options{
		Flows:      []flowhook.Flow{"invite", "", "flows", "methods", "error", "default_x", "login"},
		Strategies: []flowhook.Strategy{"magic", "", "hooks", "default_return_to"},
		Hooks: map[string]flowhook.HookFactory{"": factory, "verification": factory, "none": nil,
			"mine": factory},
		Secrets:         []string{"something-super-secret", "short-secret", "something-super-secret", ""},
		VerificationURL: "//example.com/verify",
	})
	assert.Equal(t, []string{
		`Options.Flows[1]: "" is reserved; choose another name`,
		`Options.Flows[2]: "flows" is reserved; choose another name`,
		`Options.Flows[3]: "methods" is reserved; choose another name`,
		`Options.Flows[4]: "error" is reserved; choose another name`,
		`Options.Flows[5]: "default_x" is reserved; choose another name`,
		`Options.Strategies[1]: "" is reserved; choose another name`,
		`Options.Strategies[2]: "hooks" is reserved; choose another name`,
		`Options.Strategies[3]: "default_return_to" is reserved; choose another name`,
		`Options.Hooks[""]: the name is reserved; choose another name`,
		`Options.Hooks["none"]: no factory`,
		`Options.Hooks["verification"]: the name is reserved; choose another name`,
		`Options.Secrets[1]: a secret of less than 16 bytes; use the output of openssl rand -hex 32`,
		`Options.Secrets[2]: a duplicate secret; remove it`,
		`Options.Secrets[3]: an empty secret; use the output of openssl rand -hex 32`,
		`Options.VerificationURL: the URL must be an absolute http or https URL; ` +
			`verification emails link to it; write it as in https://example.org/verification`,
	}, flowtest.Problems(err))
	for _, bad := range []string{"ftp://example.com/", "/verify", "verify", "", "https:///x"} {
		_, err := flowhook.New(nil, flowhook.Options{VerificationURL: bad})
		assert.Equal(t, bad == "", err == nil, bad)
	}
}

func TestNew_HooksNeedOptions(t *testing.T) {
	const text = `
selfservice: {flows: {login: {after: [{hook: session}, {hook: revoke_active_sessions}, {hook: verify}]}}}
`
	assert.Equal(t, []string{
		`2:46: selfservice.flows.login.after[0].hook: hook "session" needs a store that implements SessionStore; Options.Store is nil`,
		`2:46: selfservice.flows.login.after[0].hook: hook "session" needs secrets; add a list secrets.session to the file, or set Options.Secrets`,
		`2:63: selfservice.flows.login.after[1].hook: hook "revoke_active_sessions" needs a store that implements SessionRevoker; Options.Store is nil`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a store that implements TokenStore; Options.Store is nil`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a URL for its links; set selfservice.flows.verification.ui_url in the file, or Options.VerificationURL`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a courier; set Options.Courier`,
	}, flowtest.Problems(flowtest.Build(text, flowhook.Options{})))

	err := flowtest.Build(text, flowhook.Options{Store: struct{ flowhook.Store }{}, Issue: flowtest.NoOp,
		Courier: flowtest.AnyCourier{}, VerificationURL: "https://example.com/"})
	assert.Equal(t, []string{
		`2:63: selfservice.flows.login.after[1].hook: hook "revoke_active_sessions" needs a store that implements SessionRevoker; struct { flowhook.Store } does not`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a store that implements TokenStore; struct { flowhook.Store } does not`,
	}, flowtest.Problems(err))
	var first *flowhook.ConfigError
	require.ErrorAs(t, err, &first)
	assert.Equal(t, flowhook.Position{Line: 2, Column: 63}, first.Position)
}

func TestNew_FactoryErrorIsUnwrapped(t *testing.T) {
	refused := errors.New("refused")
	opts := flowtest.AnyOptions()
	opts.Hooks["strict"] = func(p flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		if p.Phase != flowhook.After {
			return nil, refused
		}
		var config struct{ Secret secretType }
		err := decode(&config)
		assert.Error(t, err, "the factory must get the error, too")
		return flowhook.HookFunc(flowtest.NoOp), err
	}
	err := flowtest.Build("selfservice: {login: {before: [{hook: strict}], after: [{hook: strict, config: {secret: canary}}]}}", opts)
	assert.ErrorIs(t, err, refused)
	assert.ErrorIs(t, err, errSecret)
	assert.Equal(t, []string{
		`1:39: selfservice.login.before[0].hook: refused`,
		`1:80: selfservice.login.after[0].config: a value that does not fit`,
	}, flowtest.Problems(err))
}

type secretType struct{}

var errSecret = errors.New("quotes its value")

func (*secretType) UnmarshalText([]byte) error { return errSecret }

func TestConfig_Add(t *testing.T) {
	at := func(f flowhook.Flow, ph flowhook.Phase, s flowhook.Strategy) flowhook.Point {
		return flowhook.Point{Flow: f, Phase: ph, Strategy: s}
	}
	cfg := &flowhook.Config{}
	cfg.Add(at("lgin", flowhook.After, ""), "a", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(at(flowhook.Login, "afer", ""), "a", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(at(flowhook.Login, flowhook.After, "pasword"), "a", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(at(flowhook.Login, flowhook.Before, "password"), "a", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(at(flowhook.Login, flowhook.Before, ""), "session", nil)
	cfg.Add(at(flowhook.Login, flowhook.Before, ""), "sesion", nil)
	cfg.Add(at(flowhook.Login, flowhook.Before, ""), "", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(at(flowhook.Login, flowhook.After, ""), "session", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(at(flowhook.Login, flowhook.After, ""), "session", flowhook.Redirect("/"))
	cfg.Add(at(flowhook.Login, flowhook.After, ""), "a", flowhook.HookFunc(nil))
	cfg.Add(at(flowhook.Login, flowhook.After, ""), "redirect", nil)
	cfg.Add(at(flowhook.Login, flowhook.After, ""), "redirect", flowhook.Redirect("ftp://example.com"))
	cfg.Add(at("invite", flowhook.After, "magic"), "session", nil) // from here on, all is well
	cfg.Add(at(flowhook.Login, flowhook.Failed, "magic"), "audit", nil)
	cfg.Add(at(flowhook.Settings, flowhook.Before, ""), "redirect", flowhook.Redirect("/"))
	_, err := flowhook.New(cfg, flowtest.AnyOptions())
	list := flowtest.ConfigErrors(err)
	var texts []string
	for i, e := range list {
		assert.Equal(t, "config_test.go", filepath.Base(e.File))
		assert.Equal(t, list[0].Line+i, e.Line)
		assert.Regexp(t, `config_test\.go:\d+: Add`, e.Error())
		texts = append(texts, e.Path+": "+e.Problem+"; "+e.Hint)
	}
	require.Len(t, texts, 12)
	assert.Equal(t, []string{
		`Add(lgin/after, "a"): unknown flow "lgin"; did you mean "login"?`,
		`Add(login/afer, "a"): unknown phase "afer"; did you mean "after"?`,
		`Add(login/after/pasword, "a"): unknown strategy "pasword"; did you mean "password"?`,
		`Add(login/before/password, "a"): before has no strategies: none is known yet; leave it out`,
		`Add(login/before, "session"): hook "session" cannot be at login/before; it is allowed at after of login, registration, verification, recovery, and of the host's own flows`,
		`Add(login/before, "sesion"): unknown hook "sesion"; did you mean "session"?`,
		`Add(login/before, ""): a hook without a name; `,
		`Add(login/after, "session"): the name of a built-in hook; choose another name, or pass nil for the built-in hook`,
		`Add(login/after, "session"): the name of a built-in hook; choose another name, or pass nil for the built-in hook`,
		`Add(login/after, "a"): a nil function for a hook; `,
	}, texts[:10])
}

func TestNew_Wrap(t *testing.T) {
	type call struct {
		point string
		name  string
	}
	var calls []call
	opts := flowtest.AnyOptions()
	opts.Wrap = func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		calls = append(calls, call{p.String(), name})
		return next
	}
	const text = `
selfservice:
  registration:
    before: [{hook: audit}]
    after:
      hooks: [{hook: redirect, config: {to: /}}, {hook: verification}]
      password: [{hook: session}, {hook: redirect, phase: after, config: {to: /}}]
  verification: {ui_url: https://example.com/}
`
	require.NoError(t, flowtest.Build(text, opts))
	assert.Equal(t, []call{
		{"registration/before", "audit"},
		{"registration/before_persist", "redirect"},
		{"registration/after", "verification"},
		{"registration/after/password", "session"},
		{"registration/after/password", "redirect"},
	}, calls, "once for each entry, where it is configured")

	for _, none := range []flowhook.Hook{nil, flowhook.HookFunc(nil)} {
		opts.Wrap = func(flowhook.Point, string, flowhook.Hook) flowhook.Hook { return none }
		assert.Equal(t, []string{`2:39: selfservice.login.before[0].hook: Options.Wrap made no hook of "audit"`},
			flowtest.Problems(flowtest.Build("\nselfservice: {login: {before: [{hook: audit}]}}", opts)))
	}
}

func TestNew_ArgumentsAreUnchanged(t *testing.T) {
	cfg, err := flowhook.ParseConfig([]byte(`
selfservice:
  login: {after: {hooks: [{hook: audit, config: {level: 1}}], password: [{hook: revoke_active_sessions}]}}
`))
	require.NoError(t, err)
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Before}, "mine", flowhook.HookFunc(flowtest.NoOp))
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			opts := flowtest.AnyOptions()
			if i%2 > 0 {
				opts.Hooks = nil
			}
			_, err := flowhook.New(cfg, opts)
			assert.Len(t, flowtest.Problems(err), i%2)
		})
	}
	wait.Wait()
}

func served(points ...flowhook.Point) flowhook.Options {
	o := flowtest.AnyOptions()
	o.Serves = points
	return o
}

var (
	passwordLogin = flowhook.Point{Flow: flowhook.Login, Strategy: flowhook.Password}
	anySettings   = flowhook.Point{Flow: flowhook.Settings}
)

// A handler may take the strategy from a form. With an empty one, no hook under a strategy would
// run.
func TestServes_FlowWide(t *testing.T) {
	for _, row := range []struct {
		serves []flowhook.Point
		flow   flowhook.Flow
		known  bool
	}{
		{[]flowhook.Point{passwordLogin, anySettings}, flowhook.Login, false},
		{[]flowhook.Point{passwordLogin, anySettings}, flowhook.Settings, true},
		{[]flowhook.Point{passwordLogin, {Flow: flowhook.Login}}, flowhook.Login, true},
		{nil, flowhook.Login, true},
	} {
		p, err := flowhook.New(nil, flowhook.Options{Store: memstore.New(), Serves: row.serves})
		require.NoError(t, err)
		for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.BeforePersist, flowhook.After,
			flowhook.Failed} {
			_, err := p.Run(flowhook.NewContext(t.Context(), flowtest.NewVisitor("alice").Exchange), row.flow, phase,
				flowhook.FlowWide)
			if row.known || phase == flowhook.Before {
				require.NoError(t, err, phase)
			} else {
				require.ErrorIs(t, err, flowhook.ErrUnknownPoint, phase)
				require.ErrorContains(t, err, "has only strategies of this flow; pass one of them")
			}
		}
		_, err = p.Complete(flowhook.NewContext(t.Context(), flowtest.NewVisitor("alice").Exchange), row.flow,
			flowhook.FlowWide, nil)
		require.Equal(t, row.known, err == nil)
		require.NotPanics(t, func() { p.Middleware(row.flow) })
	}
}

func TestServes(t *testing.T) {
	const text = `
selfservice:
  login:
    before:
      - hook: audit
    after:
      hooks:
        - hook: audit
      password:
        - hook: revoke_active_sessions
  settings:
    after:
      profile:
        - hook: audit
    failed:
      password:
        - hook: audit
`
	const elsewhere = `
selfservice:
  login:
    after:
      oidc:
        - hook: audit
        - hook: audit
          phase: before_persist
      password:
        - hook: audit
    failed:
      totp:
        - hook: audit
  recovery:
    before:
      - hook: redirect
        config: {to: /closed}
    after:
      - hook: revoke_active_sessions
`

	t.Run("hooks at served points load", func(t *testing.T) {
		require.NoError(t, flowtest.Build(text, served(passwordLogin, anySettings)))
		require.NoError(t, flowtest.Build("selfservice: {recovery: {before: [{hook: audit}], after: {link: [{hook: audit}]}}}",
			served(passwordLogin, flowhook.Point{Flow: flowhook.Recovery})))
	})

	t.Run("hooks at other points are errors", func(t *testing.T) {
		require.Equal(t, []string{
			`6:17: selfservice.login.after.oidc[0].hook: hook "audit" never runs: Options.Serves does not have the strategy "oidc" of login; ` +
				`remove it, or add {Flow: "login", Strategy: "oidc"} to Options.Serves`,
			`7:17: selfservice.login.after.oidc[1].hook: hook "audit" never runs: Options.Serves does not have the strategy "oidc" of login; ` +
				`remove it, or add {Flow: "login", Strategy: "oidc"} to Options.Serves`,
			`13:17: selfservice.login.failed.totp[0].hook: hook "audit" never runs: Options.Serves does not have the strategy "totp" of login; ` +
				`remove it, or add {Flow: "login", Strategy: "totp"} to Options.Serves`,
			`16:15: selfservice.recovery.before[0].hook: hook "redirect" never runs: Options.Serves does not have the flow "recovery"; ` +
				`remove it, or add {Flow: "recovery"} to Options.Serves`,
			`19:15: selfservice.recovery.after[0].hook: hook "revoke_active_sessions" never runs: Options.Serves does not have the flow "recovery"; ` +
				`remove it, or add {Flow: "recovery"} to Options.Serves`,
		}, flowtest.Problems(flowtest.Build(elsewhere, served(passwordLogin, anySettings))))
		require.NoError(t, flowtest.Build(elsewhere, served()), "an empty Serves must not limit anything")
	})

	t.Run("added hooks at other points are errors", func(t *testing.T) {
		var cfg flowhook.Config
		cfg.Add(flowtest.At(flowhook.Recovery, flowhook.After, flowhook.FlowWide), "mine",
			flowhook.HookFunc(flowtest.NoOp))
		cfg.Add(flowtest.At(flowhook.Login, flowhook.After, flowhook.OIDC), "session", nil)
		cfg.Add(flowtest.At(flowhook.Login, flowhook.After, flowhook.FlowWide), "mine",
			flowhook.HookFunc(flowtest.NoOp))
		cfg.Add(flowtest.At(flowhook.Settings, flowhook.After, flowhook.Profile), "mine",
			flowhook.HookFunc(flowtest.NoOp))
		_, err := flowhook.New(&cfg, served(passwordLogin, anySettings))
		errs := flowtest.ConfigErrors(err)
		require.Len(t, errs, 2)
		require.Contains(t, errs[0].Error(), `Add(recovery/after, "mine"): hook "mine" never runs: Options.Serves does not have the flow "recovery"`)
		require.Contains(t, errs[1].Error(), `Add(login/after/oidc, "session"): hook "session" never runs: Options.Serves does not have the strategy "oidc" of login`)
		for _, e := range errs {
			require.Contains(t, e.File, "config_test.go")
			require.Positive(t, e.Line)
		}
	})

	t.Run("unknown points are errors and cause no others", func(t *testing.T) {
		require.Equal(t, []string{
			`Options.Serves[0]: unknown flow "lgoin"; did you mean "login"?`,
			`Options.Serves[1]: unknown strategy "pasword"; did you mean "password"?`,
			`Options.Serves[2]: a point with the phase "after"; leave Phase empty: a flow is served in all its phases`,
			`Options.Serves[4]: unknown flow ""; known: login, registration, settings, verification, recovery, logout, invite; for one of the host's own, set Options.Flows`,
		}, flowtest.Problems(flowtest.Build(elsewhere, served(
			flowhook.Point{Flow: "lgoin"}, flowhook.Point{Flow: flowhook.Login, Strategy: "pasword"},
			flowtest.At(flowhook.Login, flowhook.After, flowhook.Password),
			passwordLogin, flowhook.Point{}))))
	})

	t.Run("declared flows and strategies can be served", func(t *testing.T) {
		const own = "selfservice: {invite: {after: {magic: [{hook: audit}], password: [{hook: audit}]}}}"
		require.NoError(t, flowtest.Build(own, served(flowhook.Point{Flow: "invite"})))
		require.Len(t, flowtest.Problems(flowtest.Build(own,
			served(flowhook.Point{Flow: "invite", Strategy: "magic"}))), 1)
	})

	t.Run("runs at other points fail", func(t *testing.T) {
		cfg := flowtest.Parse(t, text)
		o := served(passwordLogin, anySettings)
		o.Store = memstore.New()
		p, err := flowhook.New(cfg, o)
		require.NoError(t, err)
		o.Serves[0] = flowhook.Point{Flow: flowhook.Recovery} // the caller's slice, not the pipeline's
		for range 2 {
			for _, row := range []struct {
				flow     flowhook.Flow
				strategy flowhook.Strategy
				served   bool
			}{
				{flowhook.Login, flowhook.Password, true},
				{flowhook.Login, flowhook.OIDC, false},
				{flowhook.Login, flowhook.TOTP, false},
				{flowhook.Settings, flowhook.Profile, true},
				{flowhook.Settings, "magic", true},
				{flowhook.Recovery, flowhook.Link, false},
				{flowhook.Recovery, flowhook.FlowWide, false},
				{flowhook.Logout, flowhook.FlowWide, false},
			} {
				call := func(name string, do func(v flowtest.Visitor) error) {
					v := flowtest.NewVisitor("alice")
					err := do(v)
					if row.served {
						require.NotErrorIs(t, err, flowhook.ErrUnknownPoint, "%s of %s by %s", name, row.flow,
							row.strategy)
					} else {
						require.ErrorIs(t, err, flowhook.ErrUnknownPoint, "%s of %s by %s", name, row.flow,
							row.strategy)
					}
				}
				call("Run", func(v flowtest.Visitor) error {
					_, err := p.Run(flowhook.NewContext(t.Context(), v.Exchange), row.flow, flowhook.Failed,
						row.strategy)
					return err
				})
				call("Complete", func(v flowtest.Visitor) error {
					_, err := p.Complete(flowhook.NewContext(t.Context(), v.Exchange), row.flow, row.strategy, nil)
					return err
				})
				call("ReturnURL", func(v flowtest.Visitor) error {
					_, err := p.ReturnURL(v.Request, row.flow, row.strategy)
					return err
				})
			}
			require.NoError(t, p.Reload(cfg))
		}

		require.PanicsWithValue(t, "flowhook: unknown point: recovery/before: the service does not have it; add it to Options.Serves",
			func() { p.Middleware(flowhook.Recovery) })
		rec := httptest.NewRecorder()
		p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
		})).ServeHTTP(rec, flowtest.NewRequest())
		require.Equal(t, http.StatusAccepted, rec.Code, "before has no strategy")
	})

	t.Run("findings about other Kratos flows are omitted", func(t *testing.T) {
		cfg := flowtest.Parse(t, "selfservice: {flows: {recovery: {enabled: false}, registration: {enabled: false}, verification: {enabled: true}}}")
		rules := func(o flowhook.Options) (texts []string) {
			o.Secrets = []string{flowtest.StrongSecret}
			return flowtest.FindingTexts("", cfg.Check(o))
		}
		require.Len(t, rules(served()), 3)
		require.Equal(t, []string{`1:107: warning: kratos-verification: with this setting, Kratos emails a verification link at settings; ` +
			`here only a verify hook does; add a verify hook at after of settings`},
			rules(served(passwordLogin, anySettings)))
	})
}

// hidden are invisible characters.
var hidden = []rune{'\u00ad', '\u034f', '\u061c', '\u115f', '\u180e', '\u200b', '\u200c', '\u200d', '\u200e',
	'\u202e', '\u2060', '\u2063',
	'\u2800', '\u3164', '\ufe0f', '\ufeff', '\u00a0', '\u3000', '\U000e0061'}

// resembling are letters that look like ASCII letters.
var resembling = map[rune]string{'a': "аαɑａ𝐚á", 'c': "сϲｃç", 'e': "еεｅé", 'i': "іιıｉì", 'k': "кκｋ", 'o': "оοｏö",
	'p': "рρｐ", 's': "ѕｓ𝖘š", 't': "тτｔ",
	'u': "υｕü", 'v': "νѵｖ", 'y': "уｙý", 'r': "гｒř", 'n': "ηｎñ", 'f': "ｆ𝒇"}

// disguises returns words that look like word, each with the code point that an error must show, or
// "" if it is visible.
func disguises(word string) map[string]string {
	all := map[string]string{}
	for i, c := range word {
		for _, h := range hidden {
			all[word[:i]+string(h)+word[i:]] = fmt.Sprintf("%U", h)
		}
		for _, r := range resembling[c] {
			all[word[:i]+string(r)+word[i+1:]] = ""
		}
	}
	var wide strings.Builder
	for _, c := range word {
		wide.WriteRune(c - '!' + 0xff01)
	}
	all[wide.String()] = "U+FF"
	return all
}

func TestConfig_LookAlikeNames(t *testing.T) {
	opts := flowtest.AnyOptions()
	for what, row := range map[string]struct {
		file  string
		words []string
	}{
		"top level": {"%q: {}", []string{"selfservice", "secrets", "session", "cookies", "security", "urls",
			"login", "invite"}},
		"flow":      {"selfservice: {%q: {}}", []string{"login", "registration", "invite", "flows"}},
		"phase key": {"selfservice: {login: {%q: []}}", []string{"before", "after", "failed"}},
		"strategy": {"selfservice: {login: {after: {%q: []}}}",
			[]string{"password", "oidc", "magic", "hooks"}},
		"hook":            {"selfservice: {login: {after: [{hook: %q}]}}", []string{"session", "verify", "audit"}},
		"phase":           {"selfservice: {login: {after: [{hook: audit, phase: %q}]}}", []string{"after"}},
		"key of an entry": {"selfservice: {login: {after: [{hook: audit, %q: {}}]}}", []string{"config"}},
		"key of a config": {"selfservice: {login: {after: [{hook: audit, config: {%q: []}}]}}",
			[]string{"tags", "sinks"}},
		"list of secrets":   {"secrets: {%q: [0123456789abcdef]}", []string{"session", "default"}},
		"cookie":            {"session: {%q: {}}", []string{"cookie"}},
		"oldest return URL": {"urls: {%q: /}", []string{"default_return_to"}},
	} {
		t.Run(what+"/is an error", func(t *testing.T) {
			for _, word := range row.words {
				for wrong, code := range disguises(word) {
					cfg, err := flowhook.ParseConfig([]byte(fmt.Sprintf(row.file, wrong)))
					if err == nil {
						_, err = flowhook.New(cfg, opts)
					}
					require.Error(t, err, "%+q", wrong)
					assert.ErrorContains(t, err, code)
					assert.Contains(t, err.Error(), word, "%+q: the plain word is suggested", wrong)
				}
			}
		})
	}
}

func TestNew_LookAlikeNames(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(flowtest.At("log\u200bin", flowhook.After, ""), "audit", nil)
	cfg.Add(flowtest.At(flowhook.Login, "аfter", ""), "audit", nil)
	cfg.Add(flowtest.At(flowhook.Login, flowhook.After, "pаssword"), "audit", nil)
	cfg.Add(flowtest.At(flowhook.Login, flowhook.After, ""), "ａudit", nil)
	_, err := flowhook.New(cfg, flowtest.AnyOptions())
	var got []string
	for _, e := range flowtest.ConfigErrors(err) {
		got = append(got, e.Problem+"; "+e.Hint)
	}
	assert.Equal(t, []string{
		`unknown flow "log\u200bin" (with U+200B, which is invisible); did you mean "login"?`,
		`unknown phase "\u0430fter" (with U+0430, a Cyrillic letter); did you mean "after"?`,
		`unknown strategy "p\u0430ssword" (with U+0430, a Cyrillic letter); did you mean "password"?`,
		`unknown hook "\uff41udit" (with U+FF41, a full-width character); did you mean "audit"?`,
	}, got)
}

// A key in another script is the host's, and a name in another script may be declared.
func TestConfig_NamesInOtherScripts(t *testing.T) {
	for _, key := range []string{"секреты", "настройки", "ρυθμίσεις", "設定", "schlüssel", "x-заметки", "tls", "url"} {
		assert.NoError(t, flowtest.Build(key+": {}", flowhook.Options{}), key)
	}
	opts := flowtest.AnyOptions()
	opts.Flows = []flowhook.Flow{"приглашение"}
	opts.Hooks["журнал"] = opts.Hooks["audit"]
	assert.NoError(t, flowtest.Build("selfservice: {приглашение: {after: [{hook: журнал}]}}", opts))
	assert.Equal(t, []string{
		`1:15: selfservice."пригла\u00adшение": unknown flow "пригла\u00adшение"; did you mean "приглашение"?`,
		`1:65: selfservice.login.after[0].hook: unknown hook "журнал2"; did you mean "журнал"?`,
	}, flowtest.Problems(flowtest.Build("selfservice: {пригла\u00adшение: {after: []}, login: {after: [{hook: журнал2}]}}", opts)))
}

func TestRun_UnknownPoint(t *testing.T) {
	p, err := flowhook.New(nil, flowtest.AnyOptions())
	require.NoError(t, err)
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{})
	for _, row := range []struct {
		point flowhook.Point
		want  string
	}{
		{flowtest.At("lgin", flowhook.After, "password"), `unknown flow "lgin"; did you mean "login"?`},
		{flowtest.At("newsletter", flowhook.After, ""),
			`unknown flow "newsletter"; known: login, registration, settings, verification, recovery, logout, invite; for one of the host's own, set Options.Flows`},
		{flowtest.At(flowhook.Login, "afer", "password"), `unknown phase "afer"; did you mean "after"?`},
		{flowtest.At(flowhook.Login, flowhook.After, "pasword"),
			`unknown strategy "pasword"; did you mean "password"?`},
		{flowtest.At(flowhook.Login, flowhook.After, "magik"), `unknown strategy "magik"; did you mean "magic"?`},
		{flowtest.At(flowhook.Login, flowhook.After, "sms"),
			`unknown strategy "sms"; did you mean "saml"? for one of the host's own, set Options.Strategies`},
		{flowtest.At(flowhook.Login, flowhook.After, "telegram"),
			`unknown strategy "telegram"; known: password, oidc, profile, link, code, totp, lookup_secret, webauthn, passkey, saml, magic; for one of the host's own, set Options.Strategies`},
	} {
		if row.point.Flow != flowhook.Login && row.point.Strategy == "" {
			assert.PanicsWithValue(t, "flowhook: unknown point: newsletter/before: "+row.want,
				func() { p.Middleware(row.point.Flow) })
		}
		_, err := p.Run(ctx, row.point.Flow, row.point.Phase, row.point.Strategy)
		assert.ErrorIs(t, err, flowhook.ErrUnknownPoint)
		assert.EqualError(t, err, "flowhook: unknown point: "+row.point.String()+": "+row.want)
		if row.point.Phase == flowhook.After {
			_, err = p.Complete(ctx, row.point.Flow, row.point.Strategy, func(context.Context) error { return nil })
			assert.EqualError(t, err, "flowhook: unknown point: "+row.point.String()+": "+row.want)
			_, err = p.ReturnURL(flowtest.NewRequest(), row.point.Flow, row.point.Strategy)
			assert.EqualError(t, err, "flowhook: unknown point: "+row.point.String()+": "+row.want)
		}
	}
}

func TestRun_PointOutsideServes(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.Serves = []flowhook.Point{{Flow: flowhook.Login, Strategy: flowhook.Password}}
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{})
	for _, at := range []flowhook.Point{flowtest.At(flowhook.Recovery, flowhook.After, flowhook.Link),
		flowtest.At(flowhook.Login, flowhook.After, flowhook.OIDC)} {
		_, err := p.Run(ctx, at.Flow, at.Phase, at.Strategy)
		assert.EqualError(t, err, "flowhook: unknown point: "+at.String()+
			": the service does not have it; add it to Options.Serves")
	}
}

// The module internal/schematest compares the schema with what New accepts.
func TestSchema(t *testing.T) {
	type schema struct {
		Properties struct {
			Selfservice struct{ Properties map[string]any }
		}
		Defs map[string]struct {
			Const, Description string
			AllOf              []struct {
				Properties struct {
					Hook struct {
						AnyOf []map[string]string
					}
				}
			}
		} `json:"$defs"`
	}
	read := func(opts flowhook.Options) (s schema) {
		require.NoError(t, json.Unmarshal(flowhook.Schema(opts), &s))
		return s
	}
	isHook := func(s schema, name string) bool { return s.Defs["hook:"+name].Const == name }

	plain := read(flowhook.Options{})
	for _, name := range []string{"redirect", "session", "verify", "verification", "require_verified_address"} {
		assert.True(t, isHook(plain, name), name)
		assert.NotEmpty(t, plain.Defs["hook:"+name].Description)
	}
	assert.False(t, isHook(plain, "audit"))
	hooksAt := func(s schema, point string) int { return len(s.Defs["entry:"+point].AllOf[1].Properties.Hook.AnyOf) }
	assert.Equal(t, 1, hooksAt(plain, "login:before"), "a redirect")
	assert.NotContains(t, plain.Properties.Selfservice.Properties, "invite")

	own := read(flowhook.Options{Flows: []flowhook.Flow{"invite"}, Strategies: []flowhook.Strategy{"magic"},
		Hooks: map[string]flowhook.HookFactory{"audit": nil, "session": nil, "require_verified_address": nil}})
	assert.True(t, isHook(own, "audit"))
	assert.Equal(t, 3, hooksAt(own, "login:before"), "a redirect, audit and require_verified_address")
	assert.Contains(t, own.Properties.Selfservice.Properties, "invite")
	text := string(flowhook.Schema(flowhook.Options{Strategies: []flowhook.Strategy{"magic"}}))
	assert.Contains(t, text, `"magic": {`)
	assert.Contains(t, text, `"A secret can be guessed."`)
	assert.NotContains(t, text, `"unused-accept"`, "no entry can accept that")
	assert.Contains(t, text, "selfservice.flows.<flow>", "a schema is no HTML")
	assert.True(t, strings.HasPrefix(text, "{\n  \"") && strings.HasSuffix(text, "\n}\n"), "indented, with a last newline")
}
