package flowhook_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checked is the host that the files under testdata are checked for: it has all that built-in hooks need, but for what the
// file should say, and the hooks of today's Kratos as hooks of its own.
func checked() flowhook.Options {
	o := anything()
	o.Secrets = nil
	for _, name := range []string{"web_hook", "show_verification_ui", "require_verified_address", "b2b_sso"} {
		o.Hooks[name] = func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(nothing), decode(&map[string]any{})
		}
	}
	return o
}

// Each file ends with its findings, in order: "#! line:column: severity: rule: problem; hint". One without is clean.
var findingLine = regexp.MustCompile(`(?m)^#! (.*)$`)

// wanted gives the findings that a file deserves by its own words.
func wanted(t *testing.T, file string) (want []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, m := range findingLine.FindAllStringSubmatch(string(text), -1) {
		want = append(want, m[1])
	}
	return want
}

// said gives findings as text, without the name of the file.
func said(file string, findings []flowhook.Finding) (texts []string) {
	for _, f := range findings {
		text := f.String()
		if file != "" {
			text = strings.ReplaceAll(text, file+":", "")
		}
		texts = append(texts, text)
	}
	return texts
}

func readFile(t testing.TB, file string) *flowhook.Config {
	t.Helper()
	cfg, err := flowhook.LoadConfig(file)
	require.NoError(t, err)
	return cfg
}

func TestCheckFiles(t *testing.T) {
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
			assert.Equal(t, want, said(file, readFile(t, file).Check(checked())))
		})
	}
	assert.Greater(t, clean, len(files)/8, "what must be silent is tested as well")
	t.Logf("findings: %d files, %d of them clean", len(files), clean)
}

const (
	strong = "9b1f4e7a0c6d83255ef1a9c47d20b86e31fc5a9d7e4082b6c3d15f09ae7b2648"
	verify = "selfservice: {settings: {after: [{hook: verify}]}}\n"
)

func TestCheckOptions(t *testing.T) {
	for _, row := range []struct {
		name, text string
		change     func(o *flowhook.Options)
		want       []string
	}{
		{"nothing", "", func(o *flowhook.Options) {}, nil},
		{"secrets", "", func(o *flowhook.Options) {
			o.Secrets = []string{strong, "something-super-secret", "correct-horse-battery"}
		}, []string{
			"Options.Secrets[1]: warning: example-secret: this secret was copied from documentation: anyone who has read it can sign session tokens; generate one with: openssl rand -hex 32",
			"Options.Secrets[2]: warning: weak-secret: this secret is easier to guess than 32 random bytes, and anyone who guesses it can sign session tokens; generate one with: openssl rand -hex 32",
		}},
		{"secrets beside the file's", "secrets: {session: [something-super-secret, another-weak-secret]}", func(o *flowhook.Options) { o.Secrets = []string{strong} },
			[]string{"1:21: warning: unused-secrets: the file's secrets have no effect: Options.Secrets replaces them; remove them, or leave Options.Secrets empty"}},
		{"a link", verify, func(o *flowhook.Options) { o.VerificationURL = "http://auth.example.com/verify" },
			[]string{"Options.VerificationURL: warning: plain-link: the links in verification emails are plain http: anyone on the reader's network can take the token; use https"}},
		{"a link for no mails", "", func(o *flowhook.Options) { o.VerificationURL = "http://auth.example.com/verify" }, nil},
		{"a link instead of the file's", verify + "urls: {verify_ui: http://example.net/}\ncookies: {same_site: Lax}", func(o *flowhook.Options) { o.VerificationURL = "https://auth.example.com/verify" }, nil},
		{"a foreign link", verify + "urls: {default_return_to: https://example.org/}", func(o *flowhook.Options) { o.VerificationURL = "https://auth.example.com/verify" },
			[]string{"Options.VerificationURL: warning: foreign-link: verification emails lead to auth.example.com, but no redirect or return URL does: users may end up on another site; compare the host names"}},
		{"no store", "selfservice: {login: {after: [{hook: audit}, {hook: session}]}}", func(o *flowhook.Options) { o.Store, o.Issue = nil, nothing }, nil},
		{"a store", "selfservice: {login: {after: [{hook: audit}, {hook: session}]}}", func(o *flowhook.Options) { o.Issue = nothing }, []string{
			`1:38: warning: slow-lock: hook "audit" runs in the transaction before "session", with the identity locked: until it returns, all other changes for this user wait; do slow work, such as a call to another service, at phase: before_persist or in AfterCommit`}},
		{"sessions of the host's own", "session: {earliest_possible_extend: 1h}", func(o *flowhook.Options) { o.Secrets, o.Issue = []string{strong}, nothing }, []string{
			"1:37: warning: kratos-extend: Kratos can extend a session within this time before it expires; here this has no effect; remove it"}},
		{"the place first, then the options", "session: {cookie: {name: app}}", func(o *flowhook.Options) { o.Secrets = []string{"something-super-secret"} }, []string{
			"1:26: warning: cookie-prefix: without the prefix __Host-, any neighboring host can replace the session cookie; leave out name and path: the cookie is then called __Host-session",
			"Options.Secrets[0]: warning: example-secret: this secret was copied from documentation: anyone who has read it can sign session tokens; generate one with: openssl rand -hex 32",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, err := flowhook.ParseConfig([]byte(row.text))
			require.NoError(t, err)
			o := checked()
			row.change(&o)
			assert.Equal(t, row.want, said("", cfg.Check(o)))
		})
	}
}

// What a host adds in Go is judged as what stands in a file, but for what Kratos would have done with it.
func TestCheckOfWhatWasAdded(t *testing.T) {
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: {hooks: [{hook: session}], password: [{hook: session}]}}}\nsecrets: {session: [" + strong + "]}\ncourier: {}"))
	require.NoError(t, err)
	registered := at(flowhook.Registration, flowhook.After, flowhook.FlowWide)
	cfg.Add(registered, "session", nil)
	cfg.Add(registered, "mine", flowhook.HookFunc(nothing))
	cfg.Add(at(flowhook.Registration, flowhook.After, flowhook.Password), "mine", flowhook.HookFunc(nothing))
	cfg.Add(loginWide, "mine", flowhook.HookFunc(nothing))
	cfg.Add(loginWide, "redirect", flowhook.Redirect("http://example.com/"))
	cfg.Add(loginWide, "late", flowhook.HookFunc(nothing))
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

func TestNothingIsNothingToFind(t *testing.T) {
	assert.Empty(t, (*flowhook.Config)(nil).Check(flowhook.Options{}))
	assert.Empty(t, (&flowhook.Config{}).Check(flowhook.Options{}))
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	assert.Empty(t, p.Plan().Findings())
}

// Whole files in the shape of Ory Kratos' own, of each layout that it has had.
func TestKratosFiles(t *testing.T) {
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
			assert.Equal(t, want, said(file, cfg.Check(checked())))
		})
	}
}

func TestSeverityHasAWordForEachValue(t *testing.T) {
	for s, want := range map[flowhook.Severity]string{flowhook.SeverityNote: "note", flowhook.SeverityWarning: "warning", flowhook.SeverityError: "error",
		-1: "Severity(-1)", 3: "Severity(3)"} {
		assert.Equal(t, want, s.String())
	}
}

// What the file says comes first, also where its lines are further down than those of the Go source.
func TestFindingsStandInTheOrderOfTheirPlaces(t *testing.T) {
	cfg := parse(t, strings.Repeat("\n", 2000)+"selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}}")
	cfg.Add(at(flowhook.Settings, flowhook.Before, ""), "redirect", flowhook.Redirect("/closed"))
	var files []string
	for _, f := range cfg.Check(flowhook.Options{Secrets: []string{"something-super-secret"}}) {
		files = append(files, f.Rule+" "+filepath.Ext(f.File)+" "+f.Path)
	}
	require.Equal(t, []string{"closed  selfservice.login.before[0].hook", `closed .go Add(settings/before, "redirect")`, "example-secret  Options.Secrets[0]"}, files)
}

// Where hooks could not be made, the chains are not what they will be: nothing is found in them yet.
func TestFindingsWaitUntilNothingIsWrong(t *testing.T) {
	const text = `
security: {account_enumeration: {mitigate: true}}
secrets: {session: [9b1f4e7a0c6d83255ef1a9c47d20b86e31fc5a9d7e4082b6c3d15f09ae7b2648]}
selfservice: {registration: {after: {password: [{hook: session}, {hook: nobody}]}}}
`
	require.Len(t, problems(build(text, anything())), 1)
	require.ErrorContains(t, build(strings.Replace(text, ", {hook: nobody}", "", 1), anything()), "mitigate asks for the opposite")
}
