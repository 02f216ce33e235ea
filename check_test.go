package flowhook_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/check"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checked returns the options that the files under testdata are checked with. They have all that
// built-in hooks need except what the file should configure, and other hooks of Kratos as hooks of the
// host's own.
func checked() flowhook.Options {
	o := flowtest.AnyOptions()
	o.Secrets = nil
	for _, name := range []string{"web_hook", "b2b_sso"} {
		o.Hooks[name] = func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(flowtest.NoOp), decode(&map[string]any{})
		}
	}
	return o
}

// Each file ends with its findings, in order: "#! line:column: severity: rule: problem; hint". One without is clean.
var findingLine = regexp.MustCompile(`(?m)^#! (.*)$`)

// wanted returns the findings that a file announces.
func wanted(t *testing.T, file string) (want []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, m := range findingLine.FindAllStringSubmatch(string(text), -1) {
		want = append(want, m[1])
	}
	return want
}

func readFile(t testing.TB, file string) *flowhook.Config {
	t.Helper()
	cfg, err := flowhook.LoadConfig(file)
	require.NoError(t, err)
	return cfg
}

func TestCheck_Files(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 60)
	clean := 0
	for _, file := range files {
		want := wanted(t, file)
		if len(want) == 0 {
			clean++
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			assert.Equal(t, want, flowtest.FindingTexts(file, readFile(t, file).Check(checked())))
		})
	}
	assert.Greater(t, clean, len(files)/8, "there are too few files without findings")
	t.Logf("findings: %d files, %d of them clean", len(files), clean)
}

const (
	verify = "selfservice: {settings: {after: [{hook: verify}]}}\n"
)

func TestCheck_Options(t *testing.T) {
	for _, row := range []struct {
		name, text string
		change     func(o *flowhook.Options)
		want       []string
	}{
		{"nothing", "", func(o *flowhook.Options) {}, nil},
		{"secrets", "", func(o *flowhook.Options) {
			o.Secrets = []string{flowtest.StrongSecret, "something-super-secret", "correct-horse-battery"}
		}, []string{
			"Options.Secrets[1]: warning: example-secret: this secret was copied from documentation: anyone who has read it can sign session tokens; generate one with: openssl rand -hex 32",
			"Options.Secrets[2]: warning: weak-secret: this secret is easier to guess than 32 random bytes, and anyone who guesses it can sign session tokens; generate one with: openssl rand -hex 32",
		}},
		{"secrets beside the file's", "secrets: {session: [something-super-secret, another-weak-secret]}",
			func(o *flowhook.Options) { o.Secrets = []string{flowtest.StrongSecret} },
			[]string{"1:21: warning: unused-secrets: the file's secrets have no effect: Options.Secrets replaces them; remove them, or leave Options.Secrets empty"}},
		{"link", verify, func(o *flowhook.Options) { o.VerificationURL = "http://auth.example.com/verify" },
			[]string{"Options.VerificationURL: warning: plain-link: the links in verification emails are plain http: anyone on the reader's network can take the token; use https"}},
		{"link without verify hooks", "", func(o *flowhook.Options) { o.VerificationURL = "http://auth.example.com/verify" }, nil},
		{"link that replaces the file's", verify +
			"urls: {verify_ui: http://example.net/}\ncookies: {same_site: Lax}",
			func(o *flowhook.Options) { o.VerificationURL = "https://auth.example.com/verify" }, nil},
		{"foreign link", verify + "urls: {default_return_to: https://example.org/}",
			func(o *flowhook.Options) { o.VerificationURL = "https://auth.example.com/verify" },
			[]string{"Options.VerificationURL: warning: foreign-link: verification emails lead to auth.example.com, but no redirect or return URL does: users may end up on another site; compare the host names"}},
		{"no store", "selfservice: {login: {after: [{hook: audit}, {hook: session}]}}",
			func(o *flowhook.Options) { o.Store, o.Issue = nil, flowtest.NoOp }, nil},
		{"store", "selfservice: {login: {after: [{hook: audit}, {hook: session}]}}",
			func(o *flowhook.Options) { o.Issue = flowtest.NoOp }, []string{
				`1:38: warning: slow-lock: hook "audit" runs in the transaction before "session", with the identity locked: until it returns, all other changes for this user wait; do slow work, such as a call to another service, at phase: before_persist or in AfterCommit`}},
		{"sessions of the host's own", "session: {earliest_possible_extend: 1h}",
			func(o *flowhook.Options) { o.Secrets, o.Issue = []string{flowtest.StrongSecret}, flowtest.NoOp }, []string{
				"1:37: warning: kratos-extend: Kratos can extend a session within this time before it expires; here this has no effect; remove it"}},
		{"findings in the file before options", "session: {cookie: {name: app}}",
			func(o *flowhook.Options) { o.Secrets = []string{"something-super-secret"} }, []string{
				"1:26: warning: cookie-prefix: without the prefix __Host-, any neighboring host can replace the session cookie; leave out name and path: the cookie is then called __Host-session",
				"Options.Secrets[0]: warning: example-secret: this secret was copied from documentation: anyone who has read it can sign session tokens; generate one with: openssl rand -hex 32",
			}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, err := flowhook.ParseConfig([]byte(row.text))
			require.NoError(t, err)
			o := checked()
			row.change(&o)
			assert.Equal(t, row.want, flowtest.FindingTexts("", cfg.Check(o)))
		})
	}
}

// Hooks added in Go are checked like those of a file, except for rules about Kratos.
func TestCheck_AddedHooks(t *testing.T) {
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: {hooks: [{hook: session}], password: [{hook: session}]}}}\nsecrets: {session: [" + flowtest.StrongSecret + "]}\ncourier: {}"))
	require.NoError(t, err)
	registered := flowtest.At(flowhook.Registration, flowhook.After, flowhook.FlowWide)
	cfg.Add(registered, "session", nil)
	cfg.Add(registered, "mine", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(flowtest.At(flowhook.Registration, flowhook.After, flowhook.Password), "mine",
		flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(flowtest.LoginWide, "mine", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(flowtest.LoginWide, "redirect", flowhook.Redirect("http://example.com/"))
	cfg.Add(flowtest.LoginWide, "late", flowhook.HookFunc(flowtest.NoOp))
	var got []string
	for _, f := range cfg.Check(checked()) {
		where := "the file"
		if f.File != "" {
			assert.Equal(t, "check_test.go", filepath.Base(f.File))
			where = f.Path
		}
		got = append(got, where+": "+f.Rule)
	}
	assert.Equal(t, []string{
		"the file: again",
		"the file: kratos-flow-wide",
		`Add(registration/after, "session"): enumeration`,
		`Add(registration/after/password, "mine"): slow-lock`,
		`Add(login/after, "redirect"): plain-redirect`,
		`Add(login/after, "late"): never-runs`,
	}, got)
}

func TestCheck_EmptyConfig(t *testing.T) {
	assert.Empty(t, (*flowhook.Config)(nil).Check(flowhook.Options{}))
	assert.Empty(t, (&flowhook.Config{}).Check(flowhook.Options{}))
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	assert.Empty(t, p.Plan().Findings())
}

// These are complete files in each layout of Ory Kratos.
func TestCheck_KratosFilesAreClean(t *testing.T) {
	files, err := filepath.Glob("testdata/kratos/*.yml")
	require.NoError(t, err)
	require.Len(t, files, 5)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg := readFile(t, file)
			_, err := flowhook.New(cfg, checked())
			require.NoError(t, err)
			want := wanted(t, file)
			require.NotEmpty(t, want)
			assert.Equal(t, want, flowtest.FindingTexts(file, cfg.Check(checked())))
		})
	}
}

func TestSeverity_String(t *testing.T) {
	for s, want := range map[flowhook.Severity]string{flowhook.SeverityNote: "note",
		flowhook.SeverityWarning: "warning", flowhook.SeverityError: "error",
		-1: "Severity(-1)", 3: "Severity(3)"} {
		assert.Equal(t, want, s.String())
	}
}

// Findings in the file come first, even if their lines are after those in the Go source.
func TestCheck_FindingsAreSortedByPosition(t *testing.T) {
	cfg := flowtest.Parse(t, strings.Repeat("\n", 2000)+
		"selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}}")
	cfg.Add(flowtest.At(flowhook.Settings, flowhook.Before, ""), "redirect", flowhook.Redirect("/closed"))
	var files []string
	for _, f := range cfg.Check(flowhook.Options{Secrets: []string{"something-super-secret"}}) {
		files = append(files, f.Rule+" "+filepath.Ext(f.File)+" "+f.Path)
	}
	require.Equal(t, []string{"closed  selfservice.login.before[0].hook",
		`closed .go Add(settings/before, "redirect")`, "example-secret  Options.Secrets[0]"}, files)
}

// If hooks could not be made, the chains are incomplete, so there are no findings yet.
func TestCheck_FindingsOnlyIfConfigIsValid(t *testing.T) {
	const text = `
security: {account_enumeration: {mitigate: true}}
secrets: {session: [9b1f4e7a0c6d83255ef1a9c47d20b86e31fc5a9d7e4082b6c3d15f09ae7b2648]}
selfservice: {registration: {after: {password: [{hook: session}, {hook: nobody}]}}}
`
	require.Len(t, flowtest.Problems(flowtest.Build(text, flowtest.AnyOptions())), 1)
	require.ErrorContains(t, flowtest.Build(strings.Replace(text, ", {hook: nobody}", "", 1), flowtest.AnyOptions()),
		"mitigate asks for the opposite")
}

// notOfOneFile are the rules that no single file triggers. TestCheck_Options and
// TestReload_CookieScope test them.
var notOfOneFile = []string{"cookie-scope", "unused-secrets"}

func TestCheck_RulesHaveFiles(t *testing.T) {
	for _, rule := range check.Rules {
		files, err := filepath.Glob("testdata/check/" + rule + "*.yml")
		require.NoError(t, err)
		found := slices.ContainsFunc(files, func(file string) bool {
			return slices.ContainsFunc(wanted(t, file), func(finding string) bool {
				return strings.Contains(finding, ": "+rule+": ")
			})
		})
		assert.Equal(t, !slices.Contains(notOfOneFile, rule), found,
			"a file testdata/check/%s*.yml with a finding", rule)
	}
}

// Rules that begin with kratos- apply to a file with a key that Kratos uses and flowhook does not.
func TestCheck_KratosRules(t *testing.T) {
	const hooks = "{flows: {registration: {after: {oidc: {hooks: [{hook: session}, {hook: audit}]}}}}}"
	in := func(extra string) string { // inside of selfservice
		return "selfservice: " + strings.Replace(hooks, "{flows:", "{"+extra+", flows:", 1)
	}
	with := func(extra string) string { return "selfservice: " + hooks + "\n" + extra }
	for _, row := range []struct {
		name, text string
		want       []string
	}{
		{"no other Kratos key", with(""), nil},
		{"keys of any service", with("log: {level: info}\nversion: '1.2'\n$schema: ./auth.schema.json\ntracing: {}\ndatabase: x\nclients: {}\ndev: true"), nil},
		{"Kratos keys that flowhook uses", with("session: {lifespan: 1h, cookie: {path: /}}\nsecurity: {account_enumeration: {mitigate: false}}\nurls: {default_return_to: /}"), nil},
		{"nested keys", with("kratos: {dsn: memory, identity: {}, version: v1.3.0}"), nil},
		{"version of another kind", with("version: v3.1.0"), nil},
		{"dsn", with("dsn: memory"), nil},
		{"identity", with("identity: {schemas: []}"), nil},
		{"courier", with("courier: {smtp: {}}"), []string{"kratos-session-last"}},
		{"serve", with("serve: {public: {}}"), nil},
		{"ciphers", with("ciphers: {algorithm: noop}"), []string{"kratos-session-last"}},
		{"hashers", with("hashers: {algorithm: bcrypt}"), []string{"kratos-session-last"}},
		{"oauth2_provider", with("oauth2_provider: {url: http://hydra/}"), []string{"kratos-session-last"}},
		{"feature_flags", with("feature_flags: {}"), []string{"kratos-session-last"}},
		{"version v0", with("version: v0.13.0"), nil},
		{"version v1", with("version: v1.3.1"), nil},
		{"version v26", with("version: v26.2.0"), nil},
		{"dsn and a version", with("dsn: memory\nversion: v1.3.1"), []string{"kratos-session-last"}},
		{"dsn and a version of another kind", with("dsn: memory\nversion: v3.1.0"), nil},
		{"dsn and identity", with("dsn: memory\nidentity: {schemas: []}"), []string{"kratos-session-last"}},
		{"serve and version", with("serve: {public: {}}\nversion: v26.2.0"), []string{"kratos-session-last"}},
		{"$schema", with("$schema: https://raw.githubusercontent.com/ory/kratos/v1.3.0/.schemastore/config.schema.json"), []string{"kratos-session-last"}},
		{"methods", in("methods: {password: {enabled: true}}"), []string{"kratos-session-last"}},
		{"strategies", in("strategies: {password: {enabled: true}}"), []string{"kratos-session-last"}},
		{"enabled", strings.Replace(with(""), "{registration: {after", "{registration: {enabled: true, after", 1),
			[]string{"kratos-session-last"}},
		{"secrets.cipher", with("secrets: {cipher: [x]}"), []string{"kratos-session-last"}},
		{"session.whoami", with("session: {whoami: {}}"), []string{"kratos-session-last"}},
		{"session.earliest_possible_extend", with("session: {earliest_possible_extend: 1h}"),
			[]string{"kratos-session-last", "kratos-extend"}},
		// A key that flowhook does not use is never ignored silently, even if it is the only one.
		{"enabled: false alone", "selfservice: {registration: {enabled: false}}", []string{"kratos-enabled"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			log := &flowtest.LogBuffer{}
			o := checked()
			o.Secrets = []string{flowtest.StrongSecret}
			o.Logger = slog.New(slog.NewTextHandler(log, nil))
			cfg := flowtest.Parse(t, row.text)
			ours := func(found []flowhook.Finding) []string {
				return slices.DeleteFunc(flowtest.RulesOf(found),
					func(rule string) bool { return !strings.HasPrefix(rule, "kratos-") })
			}
			p, err := flowhook.New(cfg, o)
			require.NoError(t, err)
			require.NoError(t, p.Reload(cfg))
			require.ElementsMatch(t, row.want, ours(p.Plan().Findings()))
			require.ElementsMatch(t, row.want, ours(cfg.Check(o)))
			require.Equal(t, 2*len(row.want), strings.Count(log.String(), "rule=kratos-"), "%s", log)
		})
	}
}

const StrongSecretYAML = "\nsecrets: {session: [" + flowtest.StrongSecret + "]}\n"

func strict(o flowhook.Options) flowhook.Options {
	o.Strict = true
	return o
}

// worse returns the findings of at least that severity.
func worse(findings []flowhook.Finding, than flowhook.Severity) (list []flowhook.Finding) {
	for _, f := range findings {
		if f.Severity >= than {
			list = append(list, f)
		}
	}
	return list
}

func TestStrict_WarningsAreErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/[ck]*/*.yml")
	require.NoError(t, err)
	refused, loaded := 0, 0
	for _, file := range files {
		cfg := readFile(t, file)
		findings := cfg.Check(checked())
		assert.Equal(t, findings, cfg.Check(strict(checked())), "Check says the same: %s", file)
		_, err := flowhook.New(cfg, strict(checked()))
		want := worse(findings, flowhook.SeverityWarning)
		got := flowtest.ConfigErrors(err)
		if len(want) == 0 {
			assert.NoError(t, err, "notes are no errors: %s", file)
			loaded++
			continue
		}
		refused++
		require.Len(t, got, len(want), file)
		for i, f := range want {
			assert.Equal(t, (&flowhook.ConfigError{Position: f.Position, Path: f.Path, Problem: f.Problem,
				Hint: f.Hint}).Error(), got[i].Error(), file)
			assert.Equal(t, f.Position, got[i].Position, file)
		}
	}
	assert.Greater(t, refused, 40)
	assert.Greater(t, loaded, 20)
}

// A redirect that closes a flow must load, whatever it keeps from running.
func TestStrict_FlowMayBeClosed(t *testing.T) {
	h := flowtest.NewService(t, "selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}], after: [{hook: session}]}}"+StrongSecretYAML,
		func(_ *flowtest.Service, o *flowhook.Options) { o.Strict = true })
	assert.Equal(t, []string{"/closed"}, h.Browser().GetPath("/login").Header["Location"])
	assert.Len(t, h.Pipeline.Plan().Findings(), 2)
}

// Every flow of a strict file can be closed by a redirect.
func TestStrict_AllFlowsMayBeClosed(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yml")
	require.NoError(t, err)
	closed := 0
	for _, file := range files {
		if _, err := flowhook.New(readFile(t, file), strict(checked())); err != nil {
			continue
		}
		for _, flow := range []flowhook.Flow{"login", "registration", "settings", "verification", "recovery",
			"logout", "invite"} {
			cfg := readFile(t, file)
			cfg.Add(flowtest.At(flow, flowhook.Before, flowhook.FlowWide), "redirect",
				flowhook.Redirect("http://status.example.net/"))
			_, err := flowhook.New(cfg, strict(checked()))
			assert.NoError(t, err, "%s of %s", flow, file)
			closed++
		}
	}
	assert.Greater(t, closed, 100)
}

func TestStrict_Reload(t *testing.T) {
	const good = "selfservice: {login: {after: [{hook: redirect, config: {to: /home}}]}}"
	h := flowtest.NewService(t, good+StrongSecretYAML, flowtest.WithUsers(flowtest.Alice),
		func(_ *flowtest.Service, o *flowhook.Options) { o.Strict = true })
	for text, want := range map[string]string{
		"selfservice: {login: {after: [{hook: redirect, config: {to: /elsewhere}}, {hook: revoke_active_sessions}]}}": "1:82: selfservice.login.after[1].hook: " +
			`hook "revoke_active_sessions" never runs: the redirect at 1:38 always answers before it; move it before the redirect, or remove it`,
		"session: {cookie: {same_site: None}}": "1:31: session.cookie.same_site: browsers send the session cookie with requests from every other site: " +
			"only your own CSRF protection is left; use Lax, unless other sites embed the service",
	} {
		cfg, err := flowhook.ParseConfig([]byte(text + StrongSecretYAML))
		require.NoError(t, err)
		assert.Equal(t, []string{want}, flowtest.Problems(h.Pipeline.Reload(cfg)))
		assert.Empty(t, h.Pipeline.Plan().Findings(), "the rejected reload has changed the plan")
		assert.Equal(t, []string{"/home"}, h.Browser().PostPath("/login/password", "user", "alice").Header["Location"])
	}
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}}"))
	require.NoError(t, err)
	require.NoError(t, h.Pipeline.Reload(cfg))
	assert.Equal(t, []string{"/closed"}, h.Browser().PostPath("/login/password", "user", "alice").Header["Location"])
}

func TestCheck_NewLogsFindings(t *testing.T) {
	log := &flowtest.LogBuffer{}
	o := checked()
	o.Secrets = []string{"something-super-secret"}
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string,
		a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}, settings: {after: [{hook: audit}, {hook: revoke_active_sessions}]}}"))
	require.NoError(t, err)
	want := `level=INFO msg="flowhook: login is closed: every request to it is redirected to /closed" rule=closed at=1:39 hint="remove the redirect to reopen the flow"
level=WARN msg="flowhook: hook \"audit\" runs in the transaction before \"revoke_active_sessions\", with the identity locked: until it returns, all other changes for this user wait" rule=slow-lock at=1:101 hint="do slow work, such as a call to another service, at phase: before_persist or in AfterCommit"
level=INFO msg="flowhook: a user who changes settings is also signed out of this browser, unless the handler sets x.Session" rule=signs-out at=1:116 hint="in the handler, set x.Session to the session in use"
level=WARN msg="flowhook: this secret was copied from documentation: anyone who has read it can sign session tokens" rule=example-secret at=Options.Secrets[0] hint="generate one with: openssl rand -hex 32"
`
	p, err := flowhook.New(cfg, o)
	require.NoError(t, err)
	assert.Equal(t, want, log.String())
	require.NoError(t, p.Reload(cfg))
	assert.Equal(t, want+want, log.String(), "a reload must log the findings again")
	cfg.Check(o)
	assert.Equal(t, want+want, log.String(), "Check logs nothing")
}

// If there are errors, Check returns the errors that New returns, and nothing else.
func TestCheck_ErrorsWithoutFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	require.NoError(t, err)
	compared := 0
	for _, file := range files {
		cfg, err := flowhook.LoadConfig(file)
		if err != nil {
			continue // it cannot be read at all
		}
		opts := checked()
		_, err = flowhook.New(cfg, opts)
		want := flowtest.ConfigErrors(err)
		got := cfg.Check(opts)
		require.Len(t, got, len(want), file)
		for i, f := range got {
			assert.Equal(t, flowhook.Finding{Position: want[i].Position, Path: want[i].Path,
				Severity: flowhook.SeverityError, Rule: "invalid",
				Problem: want[i].Problem, Hint: want[i].Hint}, f)
			compared++
		}
	}
	assert.Greater(t, compared, 100)

	const text = "selfservice: {registration: {after: [{hook: session}, {hook: audit}]}}\nsecurity: {account_enumeration: {mitigate: true}}\nsecrets: {session: [something-super-secret]}"
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	found := cfg.Check(checked())
	require.Len(t, found, 1, "a contradiction must be an error")
	assert.Equal(t, flowhook.SeverityError, found[0].Severity)
	assert.Equal(t, "enumeration", found[0].Rule)
	_, err = flowhook.New(cfg, checked())
	var first *flowhook.ConfigError
	require.True(t, errors.As(err, &first))
	assert.Equal(t, found[0].Position, first.Position)
}

// Findings never show a secret, wherever it is.
func TestCheck_FindingsHideSecrets(t *testing.T) {
	log := &flowtest.LogBuffer{}
	o := checked()
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	o.VerificationURL = "http://verify.example.net/?key=" + flowtest.Canary + "#" + flowtest.Canary
	cfg, err := flowhook.ParseConfig([]byte(`
secrets: {session: [something-super-secret-` + flowtest.Canary + `, ` + flowtest.Canary + flowtest.Canary + flowtest.Canary + `]}
urls: {default_return_to: "http://example.com/?key=` + flowtest.Canary + `", whitelisted_return_to_urls: ["exp://` + flowtest.Canary + `/"]}
session: {cookie: {secure: true, same_site: None, path: /app}}
selfservice:
  default_return_to: "http://example.com/?newer=` + flowtest.Canary + `"
  allowed_return_urls: ["exp://` + flowtest.Canary + `/", "http://example.org/` + flowtest.Canary + `"]
  registration: {after: [{hook: session}, {hook: verify}]}
  login:
    before: [{hook: redirect, config: {to: "http://example.com/?key=` + flowtest.Canary + `"}}, {hook: audit}]
    after: [{hook: web_hook, config: {token: ` + flowtest.Canary + `}}, {hook: session}]
  settings:
    after: [{hook: web_hook, config: {token: ` + flowtest.Canary + `}}, {hook: revoke_active_sessions}, {hook: redirect, config: {to: "http://example.com/#` + flowtest.Canary + `"}}]
    failed: [{hook: web_hook, timeout: 1m, config: {token: ` + flowtest.Canary + `}}]
  verification: {enabled: true}
`))
	require.NoError(t, err)
	p, err := flowhook.New(cfg, o)
	require.NoError(t, err)
	found := p.Plan().Findings()
	assert.Greater(t, len(found), 15)
	text := strings.Join(flowtest.FindingTexts("", found), "\n") + log.String() + p.Plan().String() + p.Plan().Mermaid()
	_, err = flowhook.New(cfg, strict(o))
	require.Error(t, err)
	text += err.Error()
	flowtest.RequireSilent(t, text, "super-secret")
}

func TestCheck_Accept(t *testing.T) {
	const text = `
selfservice:
  settings: {after: [{hook: audit}, {hook: revoke_active_sessions}]}
secrets: {session: [something-super-secret]}
`
	accepting := func(rules ...string) flowhook.Options {
		o := checked()
		o.Accept = rules
		return o
	}
	cfg := flowtest.Parse(t, text)
	require.Equal(t, []string{"example-secret", "signs-out", "slow-lock"}, flowtest.RulesOf(cfg.Check(checked())))

	t.Run("findings are dropped", func(t *testing.T) {
		log := &flowtest.LogBuffer{}
		o := accepting("signs-out", "slow-lock", "never-runs")
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
		p, err := flowhook.New(cfg, o)
		require.NoError(t, err)
		o.Accept[0] = "example-secret" // the caller's slice, not the pipeline's
		require.NoError(t, p.Reload(cfg))
		require.Equal(t, []string{"example-secret"}, flowtest.RulesOf(p.Plan().Findings()))
		require.Equal(t, []string{"example-secret"}, flowtest.RulesOf(cfg.Check(accepting("signs-out", "slow-lock"))))
		for _, hooks := range p.Plan().Points() {
			for _, h := range hooks {
				require.Empty(t, h.Findings)
			}
		}
		require.Contains(t, log.String(), "rule=example-secret")
		require.NotContains(t, log.String(), "rule=slow-lock")
		require.NotContains(t, log.String(), "rule=signs-out")
	})

	t.Run("accepted warning is no error under Strict", func(t *testing.T) {
		_, err := flowhook.New(cfg, strict(accepting("slow-lock")))
		require.Len(t, flowtest.ConfigErrors(err), 1)
		require.ErrorContains(t, err, "this secret was copied from documentation")
		p, err := flowhook.New(cfg, strict(accepting("slow-lock", "example-secret")))
		require.NoError(t, err)
		require.Equal(t, []string{"signs-out"}, flowtest.RulesOf(p.Plan().Findings()))
	})

	t.Run("finding of Reload is dropped", func(t *testing.T) {
		for _, accept := range [][]string{nil, {"cookie-scope", "cookie-prefix"}} {
			o := strict(accepting(append(accept, "cookie-domain")...))
			o.Secrets = []string{flowtest.StrongSecret}
			p, err := flowhook.New(flowtest.Parse(t, "session: {cookie: {name: app, domain: example.org}}"), o)
			require.NoError(t, err)
			err = p.Reload(flowtest.Parse(t, "session: {cookie: {name: app, domain: www.example.org}}"))
			if accept == nil {
				require.ErrorContains(t, err, "keeps its name but changes its domain or path")
			} else {
				require.NoError(t, err)
			}
		}
	})

	t.Run("all rules are known", func(t *testing.T) {
		require.NoError(t, flowtest.Build("", accepting(check.Rules...)))
	})

	t.Run("unknown rules are errors", func(t *testing.T) {
		_, err := flowhook.New(cfg, accepting("sign-out", "slow-lock", "", "invalid"))
		got := flowtest.Problems(err)
		require.Len(t, got, 3)
		require.Equal(t, `Options.Accept[0]: unknown rule "sign-out"; did you mean "signs-out"?`, got[0])
		require.Contains(t, got[1], `Options.Accept[2]: unknown rule ""; known: again, closed, `)
		require.Equal(t, `Options.Accept[3]: errors cannot be accepted; correct the configuration`, got[2])
		require.Equal(t, []string{"invalid"}, flowtest.RulesOf(cfg.Check(accepting("sign-out", "slow-lock", "",
			"invalid"))))
	})

	t.Run("errors cannot be accepted", func(t *testing.T) {
		cfg := flowtest.Parse(t, "security: {account_enumeration: {mitigate: true}}\nselfservice: {registration: {after: [{hook: session}]}}"+StrongSecretYAML)
		_, err := flowhook.New(cfg, accepting("enumeration"))
		require.ErrorContains(t, err, "mitigate asks for the opposite")
		found := cfg.Check(accepting("enumeration"))
		require.Equal(t, []string{"enumeration"}, flowtest.RulesOf(found))
		require.Equal(t, flowhook.SeverityError, found[0].Severity)
	})
}

func TestCheck_AcceptInFile(t *testing.T) {
	const text = `
selfservice:
  settings: {after: [{hook: audit}, {hook: revoke_active_sessions}]}
secrets: {session: [something-super-secret]}
flowhook:
  accept:
    - {rule: signs-out, reason: they sign in again}
    - {rule: slow-lock, reason: the hook is fast}
`
	t.Run("findings are dropped", func(t *testing.T) {
		log := &flowtest.LogBuffer{}
		o := checked()
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
		cfg := flowtest.Parse(t, text)
		require.Equal(t, []string{"example-secret"}, flowtest.RulesOf(cfg.Check(o)))
		p, err := flowhook.New(cfg, o)
		require.NoError(t, err)
		require.Equal(t, []string{"example-secret"}, flowtest.RulesOf(p.Plan().Findings()))
		for _, hooks := range p.Plan().Points() {
			for _, h := range hooks {
				require.Empty(t, h.Findings)
			}
		}
		require.Contains(t, log.String(), "rule=example-secret")
		require.NotContains(t, log.String(), "rule=slow-lock")
	})

	t.Run("options accept the rest", func(t *testing.T) {
		o := strict(checked())
		_, err := flowhook.New(flowtest.Parse(t, text), o)
		require.Len(t, flowtest.ConfigErrors(err), 1)
		require.ErrorContains(t, err, "this secret was copied from documentation")
		o.Accept = []string{"example-secret", "slow-lock"}
		p, err := flowhook.New(flowtest.Parse(t, text), o)
		require.NoError(t, err)
		require.Empty(t, p.Plan().Findings())
	})

	t.Run("unused entry is no error under Strict", func(t *testing.T) {
		o := strict(checked())
		unused := "flowhook: {accept: [{rule: closed, reason: maintenance}]}"
		p, err := flowhook.New(flowtest.Parse(t, unused), o)
		require.NoError(t, err)
		require.Equal(t, []string{"unused-accept"}, flowtest.RulesOf(p.Plan().Findings()))
		o.Accept = []string{"unused-accept"}
		p, err = flowhook.New(flowtest.Parse(t, unused), o)
		require.NoError(t, err)
		require.Empty(t, p.Plan().Findings())
	})

	t.Run("errors cannot be accepted", func(t *testing.T) {
		found := flowtest.Parse(t, "security: {account_enumeration: {mitigate: true}}\n"+
			"selfservice: {registration: {after: [{hook: session}]}}\n"+
			"flowhook: {accept: [{rule: enumeration, reason: intended}]}"+StrongSecretYAML).Check(checked())
		require.Equal(t, []string{"enumeration"}, flowtest.RulesOf(found))
		require.Equal(t, flowhook.SeverityError, found[0].Severity)
	})

	t.Run("an entry for unused entries", func(t *testing.T) {
		_, err := flowhook.New(flowtest.Parse(t, "flowhook: {accept: [{rule: unused-accept, reason: x}]}"), checked())
		require.EqualError(t, err, "1:28: flowhook.accept[0].rule: an entry cannot accept unused entries; "+
			"remove it, and the entries that are not needed")
	})

	t.Run("an entry for a rule that lacks what it checks", func(t *testing.T) {
		o := checked()
		o.Store, o.Secrets, o.VerificationURL = nil, nil, ""
		for rule, want := range map[string]int{"slow-lock": 0, "cookie-insecure": 0, "plain-link": 0, "foreign-link": 0,
			"closed": 1} {
			text := "flowhook: {accept: [{rule: " + rule + ", reason: x}]}"
			require.Len(t, flowtest.Parse(t, text).Check(o), want, rule)
		}
		require.Len(t, flowtest.Parse(t, "flowhook: {accept: [{rule: slow-lock, reason: x}]}").Check(checked()), 1)
	})

	t.Run("an entry that needs more than the file", func(t *testing.T) {
		const accept = "\nflowhook: {accept: [{rule: cookie-scope, reason: it moves}, {rule: unused-secrets, reason: both}]}"
		o := strict(checked())
		o.Secrets, o.Accept = []string{flowtest.StrongSecret}, []string{"cookie-domain", "cookie-prefix"}
		at := func(domain, secrets string) *flowhook.Config {
			return flowtest.Parse(t, "session: {cookie: {name: app, domain: "+domain+"}}"+secrets+accept)
		}
		p, err := flowhook.New(at("example.org", StrongSecretYAML), o)
		require.NoError(t, err)
		require.Empty(t, p.Plan().Findings(), "nothing to compare with, and the secrets of the file are not used")
		require.NoError(t, p.Reload(at("www.example.org", StrongSecretYAML)))
		require.Empty(t, p.Plan().Findings(), "the domain has changed")
		require.NoError(t, p.Reload(at("www.example.org", "")))
		var unused []string
		for _, f := range p.Plan().Findings() {
			unused = append(unused, f.Rule+" "+f.Path)
		}
		require.Equal(t, []string{"unused-accept flowhook.accept[0].rule", "unused-accept flowhook.accept[1].rule"}, unused)
	})
}

// Check agrees with New: New accepts a file if no finding is an error, and under Strict if none is
// a warning. Every finding can be printed, and its position is in the file.
func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yml")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		text = []byte(findingLine.ReplaceAllString(string(text), ""))
		f.Add(text, uint16(0), uint8(0), "")
		for i, piece := range []string{"{hook: redirect, config: {to: /}}, ", "phase: before_persist", "[]", "false",
			"password: ", "http://"} {
			f.Add(text, uint16(40*(i+1)), uint8(i), piece)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, place uint16, width uint8, piece string) {
		text := mutate(string(data), place, width, piece)
		cfg, err := flowhook.ParseConfig([]byte(text))
		if err != nil {
			return
		}
		found := cfg.Check(checked())
		_, err = flowhook.New(cfg, checked())
		require.Equal(t, len(worse(found, flowhook.SeverityError)) == 0, err == nil, "%v", err)
		_, err = flowhook.New(cfg, strict(checked()))
		require.Equal(t, len(worse(found, flowhook.SeverityWarning)) == 0, err == nil, "%v", err)
		require.Equal(t, found, cfg.Check(checked()), "for the second time")
		for _, f := range found {
			require.Contains(t, f.String(), f.Severity.String()+": "+f.Rule+": ")
			require.NotEmpty(t, f.Problem)
			require.True(t, f.Path != "" || f.Rule == "invalid", "%v", f)
			require.Positive(t, f.Line)
			require.LessOrEqual(t, f.Line, 1+strings.Count(text, "\n")+strings.Count(text, "\r"))
		}
	})
}

func TestCheck_SecretsInOrder(t *testing.T) {
	opts := flowhook.Options{Secrets: []string{"correct-horse-battery", "something-super-secret", "another-horse-battery"}}
	var got []string
	for _, f := range new(flowhook.Config).Check(opts) {
		got = append(got, f.Path+" "+f.Rule)
	}
	require.Equal(t, []string{"Options.Secrets[0] weak-secret", "Options.Secrets[1] example-secret",
		"Options.Secrets[2] weak-secret"}, got)
}
