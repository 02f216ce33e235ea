package flowhook_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheDocumentsExamplesLoad(t *testing.T) {
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

// Each bad file ends with its errors, in order: "#! line:column: path: problem; hint". A trailing "..." is any rest.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	opts := flowtest.AnyOptions()
	opts.Secrets = nil
	opts.Hooks["panics"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) { panic("on purpose") }
	opts.Hooks["makes_none"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return flowhook.HookFunc(nil), nil }
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

func TestWhatCannotBeRead(t *testing.T) {
	_, err := flowhook.LoadConfig("testdata/none.yml")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = flowhook.LoadConfig("testdata")
	assert.Error(t, err)
}

func TestNothingIsNoHooks(t *testing.T) {
	_, err := flowhook.New(nil, flowhook.Options{})
	assert.NoError(t, err)
	_, err = flowhook.New(&flowhook.Config{}, flowhook.Options{})
	assert.NoError(t, err)
	for _, text := range []string{"", "# nothing", "---\n", "{}", "dsn: memory"} {
		assert.NoError(t, flowtest.Build(text, flowhook.Options{}), text)
	}
}

// A Kratos file of today, shortened: all that is not about hooks is let be.
func TestKratosOwnKeysAreLetBe(t *testing.T) {
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

func TestOptionsThatCannotBe(t *testing.T) {
	factory := func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
		return flowhook.HookFunc(flowtest.NoOp), nil
	}
	_, err := flowhook.New(nil, flowhook.Options{
		Flows:           []flowhook.Flow{"invite", "", "flows", "methods", "error", "default_x", "login"},
		Strategies:      []flowhook.Strategy{"magic", "", "hooks", "default_return_to"},
		Hooks:           map[string]flowhook.HookFactory{"": factory, "verification": factory, "none": nil, "mine": factory},
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
			`verification emails link to it; write it as in https://example.org/verify`,
	}, flowtest.Problems(err))
	for _, bad := range []string{"ftp://example.com/", "/verify", "verify", "", "https:///x"} {
		_, err := flowhook.New(nil, flowhook.Options{VerificationURL: bad})
		assert.Equal(t, bad == "", err == nil, bad)
	}
}

func TestWhatHooksNeed(t *testing.T) {
	const text = `
selfservice: {flows: {login: {after: [{hook: session}, {hook: revoke_active_sessions}, {hook: verify}]}}}
`
	assert.Equal(t, []string{
		`2:46: selfservice.flows.login.after[0].hook: hook "session" needs a store that implements SessionStore; Options.Store is nil`,
		`2:46: selfservice.flows.login.after[0].hook: hook "session" needs secrets; add a list secrets.session to the file, or set Options.Secrets`,
		`2:63: selfservice.flows.login.after[1].hook: hook "revoke_active_sessions" needs a store that implements SessionRevoker; Options.Store is nil`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a store that implements VerificationStore; Options.Store is nil`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a URL for its links; set selfservice.flows.verification.ui_url in the file, or Options.VerificationURL`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a courier; set Options.Courier`,
	}, flowtest.Problems(flowtest.Build(text, flowhook.Options{})))

	err := flowtest.Build(text, flowhook.Options{Store: struct{ flowhook.Store }{}, Issue: flowtest.NoOp, Courier: flowtest.AnyCourier{}, VerificationURL: "https://example.com/"})
	assert.Equal(t, []string{
		`2:63: selfservice.flows.login.after[1].hook: hook "revoke_active_sessions" needs a store that implements SessionRevoker; struct { flowhook.Store } does not`,
		`2:95: selfservice.flows.login.after[2].hook: hook "verify" needs a store that implements VerificationStore; struct { flowhook.Store } does not`,
	}, flowtest.Problems(err))
	var first *flowhook.ConfigError
	require.ErrorAs(t, err, &first)
	assert.Equal(t, flowhook.Position{Line: 2, Column: 63}, first.Position)
}

func TestAFactorysErrorStaysItself(t *testing.T) {
	refused := errors.New("refused")
	opts := flowtest.AnyOptions()
	opts.Hooks["strict"] = func(p flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		if p.Phase != flowhook.After {
			return nil, refused
		}
		var config struct{ Secret secretType }
		err := decode(&config)
		assert.Error(t, err, "the factory hears of it as well")
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

func TestAdd(t *testing.T) {
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

func TestWrap(t *testing.T) {
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

func TestNewChangesNothing(t *testing.T) {
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
