package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The files that the tests check, in a folder of their own.
var testFiles = map[string]string{
	"clean.yml": "selfservice: {login: {after: [{hook: session}]}}\n",
	"note.yml": `selfservice:
  login:
    before:
      - hook: redirect
        config: {to: /maintenance}
`,
	"warning.yml": `secrets:
  session: [something-super-secret]
`,
	"broken.yml": `selfservice:
  login:
    after:
      pasword:
        - hook: audit
      password:
        - hook: revoke_active_session
`,
	"syntax.yml": "a: 1\n\tb: 2\n",
	"own.yml": `selfservice:
  invite: {after: {magic: [{hook: audit, config: {any: [thing]}}]}}
flowhook:
  accept: [{rule: audit/slow, reason: known only to the hook}, {rule: closed, reason: not any more}]
`,
	"gate.yml": `selfservice:
  login: {after: [{hook: web_hook, config: {url: "https://a.example", can_interrupt: true}}]}
`,
	"notify.yml": `selfservice:
  login: {after: [{hook: web_hook}, {hook: rate_limit}, {hook: audit}, {hook: revoke_active_sessions}]}
`,
	"bare.yml": `selfservice:
  registration: {after: {oidc: [{hook: session}, {hook: verify}]}}
  settings: {after: [{hook: notify_previous_addresses}]}
`,
	"strategy.yml": "selfservice: {login: {after: {password: [{hook: revoke_active_sessions}]}}}\n",
	"a b,c.yml":    "selfservice: {login: {before: [{hook: redirect, config: {to: /maintenance}}]}}\n",
}

const (
	closed  = "login is closed: every request to it is redirected to /maintenance"
	reopen  = "remove the redirect to reopen the flow"
	copied  = "this secret was copied from documentation: anyone who has read it can sign session tokens"
	openssl = "generate one with: openssl rand -hex 32"
	noted   = "note.yml:4:15: note: closed: " + closed + "; " + reopen + "\n"
	warned  = "warning.yml:2:13: warning: example-secret: " + copied + "; " + openssl + "\n"
	strange = `broken.yml:4:7: selfservice.login.after.pasword: unknown strategy or key "pasword"; ` +
		`did you mean "password"?
broken.yml:7:17: selfservice.login.after.password[0].hook: unknown hook "revoke_active_session"; ` +
		`did you mean "revoke_active_sessions"?
`
	// For a file whose errors may be names that only the service knows.
	names = "flowhook: if an error is about the service's own hooks, flows or strategies, name them in -hooks, -flows and " +
		"-strategies\n"
	aTab = "syntax.yml:2:1: not YAML: a tab; indent with spaces\n"
)

// in changes to a folder with the test files.
func in(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range testFiles {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
}

// call runs the program.
func call(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, log strings.Builder
	code = run(args, strings.NewReader(stdin), &out, &log)
	return code, out.String(), log.String()
}

func TestCheck(t *testing.T) {
	in(t)
	for _, row := range []struct {
		args   string
		stdin  string
		code   int
		stdout string
		stderr string // what it contains; "" if nothing is printed
	}{
		{args: "clean.yml"},
		{args: "note.yml", code: 1, stdout: noted},
		{args: "warning.yml", code: 1, stdout: warned},
		{args: "broken.yml", code: 2, stdout: strange, stderr: names},
		{args: "broken.yml -hooks audit", code: 2, stdout: strange, stderr: names},
		{args: "syntax.yml", code: 2, stdout: aTab},
		{args: "note.yml clean.yml warning.yml", code: 1, stdout: noted + warned},
		{args: "syntax.yml broken.yml note.yml", code: 2, stdout: aTab + strange + noted, stderr: names},
		{args: "missing.yml note.yml", code: 2, stdout: noted, stderr: "flowhook: open missing.yml: "},

		{args: "-severity note note.yml", code: 1, stdout: noted},
		{args: "-severity warning note.yml"},
		{args: "-severity warning note.yml warning.yml", code: 1, stdout: warned},
		{args: "-severity error note.yml warning.yml"},
		{args: "-severity error broken.yml", code: 2, stdout: strange, stderr: names},

		{args: "-", stdin: testFiles["clean.yml"]},
		{args: "-", stdin: testFiles["note.yml"], code: 1, stdout: strings.Replace(noted, "note.yml", "<stdin>", 1)},
		{args: "-", stdin: testFiles["syntax.yml"], code: 2, stdout: strings.Replace(aTab, "syntax.yml", "<stdin>", 1)},
		{args: "note.yml -", stdin: testFiles["syntax.yml"], code: 2,
			stdout: noted + strings.Replace(aTab, "syntax.yml", "<stdin>", 1)},
		{args: "-"},

		{args: "note.yml -severity warning"},
		{args: "note.yml --severity=warning warning.yml", code: 1, stdout: warned},
		{args: "-severity warning -- note.yml"},
		{args: "-severity warning -- -x.yml", code: 2, stderr: "open -x.yml"},

		{args: "-hooks audit -flows invite -strategies magic own.yml", code: 1, stdout: "own.yml:4:71: note: " +
			"unused-accept: no finding has this rule, so the entry can only hide a new one; remove the entry\n"},
		{args: "-hooks audit -flows invite -strategies magic -", stdin: testFiles["own.yml"], code: 1, stdout: "<stdin>:4:71: " +
			"note: unused-accept: no finding has this rule, so the entry can only hide a new one; remove the entry\n"},
		{args: "-hooks web_hook gate.yml"},
		{args: "-hooks web_hook,rate_limit,audit notify.yml", code: 1, stdout: "notify.yml:2:64: warning: slow-lock: hook " +
			"\"audit\" runs in the transaction before \"revoke_active_sessions\", with the identity locked: until it " +
			"returns, all other changes for this user wait; do slow work, such as a call to another service, at phase: " +
			"before_persist or in AfterCommit\n"},
		{args: "strategy.yml", code: 1, stdout: "strategy.yml:1:49: note: strategy-only: revoke_active_sessions runs " +
			"only at a login by password: a login by any other strategy, such as a second factor (totp), leaves the " +
			"user's other sessions alive; add it to the flow-wide list, or list the strategies that you serve in " +
			"Options.Serves\n"},
		{args: "-serves login/password,settings strategy.yml"},
		{args: "-serves settings strategy.yml", code: 2, stderr: names, stdout: "strategy.yml:1:49: " +
			"selfservice.login.after.password[0].hook: hook \"revoke_active_sessions\" never runs: Options.Serves does " +
			"not have the flow \"login\"; remove it, or add {Flow: \"login\"} to Options.Serves\n"},
		{args: "bare.yml"},
		{args: "-hooks require_verified_address clean.yml"},
	} {
		t.Run(row.args+row.stdin, func(t *testing.T) {
			code, stdout, stderr := call(row.stdin, append([]string{"check"}, strings.Fields(row.args)...)...)
			assert.Equal(t, row.code, code)
			assert.Equal(t, row.stdout, stdout)
			assert.Contains(t, stderr, row.stderr)
			assert.Equal(t, row.stderr == "", stderr == "", stderr)
		})
	}
}

// A hook, flow or strategy of the service's own is unknown without its flag.
func TestCheck_OwnNames(t *testing.T) {
	in(t)
	own := map[string]string{"-hooks": "audit", "-flows": "invite", "-strategies": "magic"}
	for without := range own {
		args := []string{"check", "own.yml"}
		for name, word := range own {
			if name != without {
				args = append(args, name, " "+word+", other")
			}
		}
		code, stdout, _ := call("", args...)
		assert.Equal(t, failed, code, without)
		assert.Regexp(t, `^own.yml:2:\d+: selfservice.* unknown .*`+own[without], stdout)
	}
}

func TestCheck_References(t *testing.T) {
	in(t)
	require.NoError(t, os.WriteFile("secret", []byte(strings.Repeat("k8Dj2mQ9", 8)), 0o600))
	require.NoError(t, os.Mkdir("sub", 0o700))
	const text = `secrets: {session: ["${FLOWHOOK_TEST}", file:../secret]}`
	require.NoError(t, os.WriteFile("sub/auth.yml", []byte(text), 0o600))
	t.Setenv("FLOWHOOK_TEST", "4e8a1c09b75d62f3908e1d7cba54620f")
	code, stdout, _ := call("", "check", "-severity", "error", "sub/auth.yml")
	assert.Equal(t, clean, code, stdout)
	t.Setenv("FLOWHOOK_TEST", "")
	code, stdout, _ = call("", "check", "sub/auth.yml")
	assert.Equal(t, failed, code)
	assert.Contains(t, stdout, "sub/auth.yml:1:21: secrets.session[0]: ")
}

func TestUsage(t *testing.T) {
	in(t)
	for args, want := range map[string]string{
		"":                                 "no command",
		"chek note.yml":                    `unknown command "chek"; did you mean "check"?`,
		"note.yml":                         `unknown command "note.yml"; known: check, table, mermaid, schema`,
		"check":                            "no file; - is standard input",
		"check - -":                        "standard input is given twice",
		"check -format xml note.yml":       `unknown format "xml"; known: github, json, sarif, text`,
		"check -severity warn note.yml":    `unknown severity "warn"; known: note, warning, error`,
		"check -flow login note.yml":       "flag provided but not defined: -flow",
		"check note.yml -format":           "flag needs an argument: -format",
		"check -hooks verify note.yml":     `-hooks is for hooks of the service's own; "verify" is built in`,
		"schema -hooks audit,session":      `-hooks is for hooks of the service's own; "session" is built in`,
		"check -flows default_x note.yml":  `-flows: "default_x" is reserved; choose another name`,
		"check -strategies hooks note.yml": `-strategies: "hooks" is reserved; choose another name`,
		"mermaid -flows login note.yml":    `-flows is for flows of the service's own; "login" is built in`,
		"check -strategies saml note.yml":  `-strategies is for strategies of the service's own; "saml" is built in`,
		"table -strategies magic,password": `-strategies is for strategies of the service's own; "password" is built in`,
		"mermaid -flow logn note.yml":      `unknown flow "logn"; did you mean "login"?`,
		"mermaid note.yml clean.yml":       "more than one file",
		"check -serves logn note.yml":      `-serves: unknown flow "logn"; did you mean "login"?`,
		"check -serves login/x note.yml":   `-serves: unknown strategy "x"`,
		"mermaid":                          "no file",
		"table":                            "no file",
		"table -format json note.yml":      "flag provided but not defined: -format",
		"schema auth.yml":                  `schema reads no file, such as "auth.yml"`,
	} {
		code, stdout, stderr := call("", strings.Fields(args)...)
		assert.Equal(t, failed, code, args)
		assert.Empty(t, stdout, args)
		assert.Contains(t, stderr, "flowhook: "+want, args)
		assert.Contains(t, stderr, "\nflowhook -h shows the usage.\n", args)
		assert.NotContains(t, stderr, "Options.", args)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"-h", "-help", "--help", "help", "check -h", "table --help", "mermaid -h", "schema -h"} {
		code, stdout, stderr := call("", strings.Fields(args)...)
		assert.Equal(t, clean, code, args)
		assert.Empty(t, stderr, args)
		for _, command := range commands {
			assert.Contains(t, stdout, "flowhook "+command.name+" ", args)
		}
	}
	for _, name := range []string{"hooks", "flows", "strategies", "serves", "format", "severity", "flow"} {
		assert.Regexp(t, `(?m)^\t-`+name+`  `, help)
	}
	for format := range formats {
		assert.Regexp(t, `-format .*\b`+format+`\b`, help)
	}
}

func TestTable(t *testing.T) {
	in(t)
	code, stdout, stderr := call("", "table", "note.yml")
	assert.Equal(t, clean, code)
	assert.Empty(t, stderr)
	assert.Equal(t, `POINT         HOOK                      AT
login/before  redirect to /maintenance  note.yml:4:15  answers
`, stdout)

	code, stdout, stderr = call(testFiles["gate.yml"], "table", "-hooks", "web_hook", "clean.yml", "broken.yml", "-")
	assert.Equal(t, failed, code)
	assert.Equal(t, names+strange, stderr)
	assert.Equal(t, `clean.yml:
POINT        HOOK     AT
login/after  session  clean.yml:1:38

-:
POINT                 HOOK      AT
login/before_persist  web_hook  2:26
`, stdout)

	code, stdout, stderr = call("", "table", "syntax.yml", "missing.yml")
	assert.Equal(t, failed, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, aTab+"flowhook: open missing.yml")
}

func TestMermaid(t *testing.T) {
	in(t)
	cfg, err := flowhook.LoadConfig("own.yml")
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{
		Hooks:      map[string]flowhook.HookFactory{"audit": newStub("audit")},
		Flows:      []flowhook.Flow{"invite"},
		Strategies: []flowhook.Strategy{"magic"}, Logger: discard})
	require.NoError(t, err)
	own := []string{"-hooks", "audit", "-flows", "invite", "-strategies", "magic", "own.yml"}
	for flag, want := range map[string]string{
		"":               p.Plan().Mermaid(),
		"login,settings": p.Plan().Mermaid("login", "settings"),
		"invite":         p.Plan().Mermaid("invite"),
	} {
		code, stdout, stderr := call("", append([]string{"mermaid", "-flow", flag}, own...)...)
		assert.Equal(t, clean, code, stderr)
		assert.Equal(t, want, stdout, flag)
	}
	assert.NotEqual(t, p.Plan().Mermaid(), p.Plan().Mermaid("login"))

	code, stdout, stderr := call("", "mermaid", "broken.yml")
	assert.Equal(t, failed, code)
	assert.Empty(t, stdout)
	assert.Equal(t, names+strange, stderr)
}

func TestSchema(t *testing.T) {
	code, stdout, stderr := call("", "schema", "-hooks", "audit", "-flows", "invite", "-strategies", "magic")
	assert.Equal(t, clean, code)
	assert.Empty(t, stderr)
	assert.Equal(t, string(flowhook.Schema(flowhook.Options{Flows: []flowhook.Flow{"invite"},
		Strategies: []flowhook.Strategy{"magic"}, Hooks: map[string]flowhook.HookFactory{"audit": nil}})), stdout)
	var schema map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &schema))
	assert.Equal(t, "https://json-schema.org/draft/2020-12/schema", schema["$schema"])
}

func TestJSON(t *testing.T) {
	in(t)
	code, stdout, _ := call("", "check", "-format", "json", "note.yml", "broken.yml")
	assert.Equal(t, failed, code)
	assert.JSONEq(t, `[
		{"file": "note.yml", "line": 4, "column": 15, "path": "selfservice.login.before[0].hook", "severity": "note",
			"rule": "closed", "problem": "`+closed+`", "hint": "`+reopen+`"},
		{"file": "broken.yml", "line": 4, "column": 7, "path": "selfservice.login.after.pasword", "severity": "error",
			"rule": "invalid", "problem": "unknown strategy or key \"pasword\"", "hint": "did you mean \"password\"?"},
		{"file": "broken.yml", "line": 7, "column": 17, "path": "selfservice.login.after.password[0].hook",
			"severity": "error", "rule": "invalid", "problem": "unknown hook \"revoke_active_session\"",
			"hint": "did you mean \"revoke_active_sessions\"?"}
	]`, stdout)

	code, stdout, _ = call("", "check", "-format", "json", "clean.yml")
	assert.Equal(t, clean, code)
	assert.JSONEq(t, `[]`, stdout)
}

func TestGitHub(t *testing.T) {
	in(t)
	code, stdout, _ := call(testFiles["note.yml"], "check", "-format", "github",
		"a b,c.yml", "warning.yml", "syntax.yml", "-")
	assert.Equal(t, failed, code)
	assert.Equal(t, strings.Join([]string{
		"::notice file=a b%2Cc.yml,line=1,col=39,title=flowhook%3A closed::" + closed + "; " + reopen,
		"::warning file=warning.yml,line=2,col=13,title=flowhook%3A example-secret::" + copied + "; " + openssl,
		"::error file=syntax.yml,line=2,col=1,title=flowhook%3A invalid::not YAML: a tab; indent with spaces",
		"::notice line=4,col=15,title=flowhook%3A closed::" + closed + "; " + reopen, "",
	}, "\n"), stdout)
}

func TestGitHub_Escapes(t *testing.T) {
	var b strings.Builder
	require.NoError(t, writeGitHub(&b, []flowhook.Finding{{Position: flowhook.Position{File: "100%:a\n.yml"},
		Rule: "a,b", Problem: "50%\r\nof: a, b"}}))
	assert.Equal(t, "::notice file=100%25%3Aa%0A.yml,title=flowhook%3A a%2Cb::50%25%0D%0Aof: a, b\n", b.String())
}

// The log has everything that GitHub's code scanning requires.
func TestSARIF(t *testing.T) {
	in(t)
	code, stdout, _ := call(testFiles["note.yml"], "check", "-format", "sarif", "a b,c.yml", "warning.yml", "syntax.yml",
		"note.yml", "-")
	assert.Equal(t, failed, code)
	var log map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &log))
	assert.Equal(t, "2.1.0", log["version"])
	assert.Contains(t, log["$schema"], "sarif-2.1.0")
	require.Len(t, log["runs"], 1)
	theRun := log["runs"].([]any)[0].(map[string]any)
	driver := theRun["tool"].(map[string]any)["driver"].(map[string]any)
	assert.Equal(t, "flowhook", driver["name"])
	var ids []string
	for _, rule := range driver["rules"].([]any) {
		rule := rule.(map[string]any)
		ids = append(ids, rule["id"].(string))
		for _, key := range []string{"shortDescription", "fullDescription", "help"} {
			assert.NotEmpty(t, rule[key].(map[string]any)["text"], key)
		}
		assert.Contains(t, rule["helpUri"], "https://")
	}
	assert.Equal(t, []string{"closed", "example-secret", "invalid"}, ids)

	type region struct{ StartLine, StartColumn int }
	for i, want := range []struct {
		rule, level, text, uri string
		at                     region
	}{
		{"closed", "note", closed + "; " + reopen, "a%20b,c.yml", region{1, 39}},
		{"example-secret", "warning", copied + "; " + openssl, "warning.yml", region{2, 13}},
		{"invalid", "error", "not YAML: a tab; indent with spaces", "syntax.yml", region{2, 1}},
		{"closed", "note", closed + "; " + reopen, "note.yml", region{4, 15}},
		{"closed", "note", closed + "; " + reopen, "stdin", region{4, 15}},
	} {
		result := theRun["results"].([]any)[i].(map[string]any)
		assert.Equal(t, want.rule, result["ruleId"])
		assert.Equal(t, want.rule, ids[int(result["ruleIndex"].(float64))])
		assert.Equal(t, want.level, result["level"])
		assert.Equal(t, want.text, result["message"].(map[string]any)["text"])
		require.Len(t, result["locations"], 1)
		place := result["locations"].([]any)[0].(map[string]any)["physicalLocation"].(map[string]any)
		assert.Equal(t, want.uri, place["artifactLocation"].(map[string]any)["uri"])
		at := place["region"].(map[string]any)
		assert.Equal(t, want.at, region{int(at["startLine"].(float64)), int(at["startColumn"].(float64))})
	}
	assert.Len(t, theRun["results"], 5)
}

func TestSARIF_Empty(t *testing.T) {
	in(t)
	code, stdout, _ := call("", "check", "-format", "sarif", "clean.yml")
	assert.Equal(t, clean, code)
	assert.Regexp(t, `"rules": \[\]`, stdout)
	assert.Regexp(t, `"results": \[\]`, stdout)
}

// GitHub needs a line, and knows the files of the repository only.
func TestSARIF_Locations(t *testing.T) {
	in(t)
	dir, err := os.Getwd()
	require.NoError(t, err)
	for path, want := range map[string]string{
		"auth.yml": "auth.yml", "sub/auth.yml": "sub/auth.yml", "../auth.yml": "../auth.yml", "a:b.yml": "./a:b.yml",
		filepath.Join(dir, "sub", "auth.yml"): "sub/auth.yml", "/srv/100% auth.yml": "file:///srv/100%25%20auth.yml",
	} {
		var b strings.Builder
		found := []flowhook.Finding{{Position: flowhook.Position{File: path}, Rule: "a", Problem: "b"}}
		require.NoError(t, writeSARIF(&b, found))
		assert.Contains(t, b.String(), `"uri": "`+want+`"`)
		assert.Contains(t, b.String(), `"startLine": 1`+"\n")
		assert.NotContains(t, b.String(), "startColumn")
	}
}

// A check whose report is lost has failed.
func TestCheck_OutputFails(t *testing.T) {
	in(t)
	for format := range formats {
		var log strings.Builder
		code := run([]string{"check", "-format", format, "note.yml"}, strings.NewReader(""), fullDisk{}, &log)
		assert.Equal(t, failed, code, format)
		assert.Contains(t, log.String(), "short write", format)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
