package flowhook_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const strongYAML = "\nsecrets: {session: [" + strong + "]}\n"

func strict(o flowhook.Options) flowhook.Options {
	o.Strict = true
	return o
}

// worse gives the findings that are at least that bad.
func worse(findings []flowhook.Finding, than flowhook.Severity) (list []flowhook.Finding) {
	for _, f := range findings {
		if f.Severity >= than {
			list = append(list, f)
		}
	}
	return list
}

func TestStrictMakesErrorsOfWarnings(t *testing.T) {
	files, err := filepath.Glob("testdata/[ck]*/*.yml")
	require.NoError(t, err)
	refused, loaded := 0, 0
	for _, file := range files {
		cfg := readFile(t, file)
		findings := cfg.Check(checked())
		assert.Equal(t, findings, cfg.Check(strict(checked())), "Check says the same: %s", file)
		_, err := flowhook.New(cfg, strict(checked()))
		want := worse(findings, flowhook.SeverityWarning)
		got := configErrors(err)
		if len(want) == 0 {
			assert.NoError(t, err, "notes are no errors: %s", file)
			loaded++
			continue
		}
		refused++
		require.Len(t, got, len(want), file)
		for i, f := range want {
			assert.Equal(t, (&flowhook.ConfigError{Position: f.Position, Path: f.Path, Problem: f.Problem, Hint: f.Hint}).Error(), got[i].Error(), file)
			assert.Equal(t, f.Position, got[i].Position, file)
		}
	}
	assert.Greater(t, refused, 40)
	assert.Greater(t, loaded, 20)
}

// A kill switch must load, whatever it keeps from running.
func TestStrictLetsAFlowBeClosed(t *testing.T) {
	h := newHost(t, "selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}], after: [{hook: session}]}}"+strongYAML,
		func(_ *host, o *flowhook.Options) { o.Strict = true })
	assert.Equal(t, []string{"/closed"}, h.browser().get("/login").Header["Location"])
	assert.Len(t, h.pipeline.Plan().Findings(), 2)
}

// Whatever a strict file says, each of its flows can be closed, by a page anywhere.
func TestStrictLetsEveryFlowBeClosed(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yml")
	require.NoError(t, err)
	closed := 0
	for _, file := range files {
		if _, err := flowhook.New(readFile(t, file), strict(checked())); err != nil {
			continue
		}
		for _, flow := range []flowhook.Flow{"login", "registration", "settings", "verification", "recovery", "logout", "invite"} {
			cfg := readFile(t, file)
			cfg.Add(at(flow, flowhook.Before, flowhook.FlowWide), "redirect", flowhook.Redirect("http://status.example.net/"))
			_, err := flowhook.New(cfg, strict(checked()))
			assert.NoError(t, err, "%s of %s", flow, file)
			closed++
		}
	}
	assert.Greater(t, closed, 100)
}

func TestStrictHoldsForReload(t *testing.T) {
	const good = "selfservice: {login: {after: [{hook: redirect, config: {to: /home}}]}}"
	h := newHost(t, good+strongYAML, withUsers(alice), func(_ *host, o *flowhook.Options) { o.Strict = true })
	for text, want := range map[string]string{
		"selfservice: {login: {after: [{hook: redirect, config: {to: /elsewhere}}, {hook: revoke_active_sessions}]}}": "1:82: selfservice.login.after[1].hook: " +
			`hook "revoke_active_sessions" never runs: the redirect at 1:38 always answers before it; move it before the redirect, or remove it`,
		"session: {cookie: {same_site: None}}": "1:31: session.cookie.same_site: browsers send the session cookie with requests from every other site: " +
			"only your own CSRF protection is left; use Lax, unless other sites embed the service",
	} {
		cfg, err := flowhook.ParseConfig([]byte(text + strongYAML))
		require.NoError(t, err)
		assert.Equal(t, []string{want}, problems(h.pipeline.Reload(cfg)))
		assert.Empty(t, h.pipeline.Plan().Findings(), "nothing has changed")
		assert.Equal(t, []string{"/home"}, h.browser().post("/login/password", "user", "alice").Header["Location"])
	}
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}}"))
	require.NoError(t, err)
	require.NoError(t, h.pipeline.Reload(cfg))
	assert.Equal(t, []string{"/closed"}, h.browser().post("/login/password", "user", "alice").Header["Location"])
}

func TestFindingsAreLogged(t *testing.T) {
	log := &logbook{}
	o := checked()
	o.Secrets = []string{"something-super-secret"}
	o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
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
	assert.Equal(t, want+want, log.String(), "a reload says it again")
	cfg.Check(o)
	assert.Equal(t, want+want, log.String(), "Check logs nothing")
}

// Where there are errors, Check gives these, as New does, and nothing else.
func TestCheckGivesErrorsAlone(t *testing.T) {
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
		want := configErrors(err)
		got := cfg.Check(opts)
		require.Len(t, got, len(want), file)
		for i, f := range got {
			assert.Equal(t, flowhook.Finding{Position: want[i].Position, Path: want[i].Path, Severity: flowhook.SeverityError, Rule: "invalid",
				Problem: want[i].Problem, Hint: want[i].Hint}, f)
			compared++
		}
	}
	assert.Greater(t, compared, 100)

	const text = "selfservice: {registration: {after: [{hook: session}, {hook: audit}]}}\nsecurity: {account_enumeration: {mitigate: true}}\nsecrets: {session: [something-super-secret]}"
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	found := cfg.Check(checked())
	require.Len(t, found, 1, "what contradicts itself is an error as well")
	assert.Equal(t, flowhook.SeverityError, found[0].Severity)
	assert.Equal(t, "enumeration", found[0].Rule)
	_, err = flowhook.New(cfg, checked())
	var first *flowhook.ConfigError
	require.True(t, errors.As(err, &first))
	assert.Equal(t, found[0].Position, first.Position)
}

// Wherever a secret may stand, nothing that is found shows it.
func TestFindingsShowNoSecret(t *testing.T) {
	log := &logbook{}
	o := checked()
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	o.VerificationURL = "http://verify.example.net/?key=" + canary + "#" + canary
	cfg, err := flowhook.ParseConfig([]byte(`
secrets: {session: [something-super-secret-` + canary + `, ` + canary + canary + canary + `]}
urls: {default_return_to: "http://example.com/?key=` + canary + `", whitelisted_return_to_urls: ["exp://` + canary + `/"]}
session: {cookie: {secure: true, same_site: None, path: /app}}
selfservice:
  default_return_to: "http://example.com/?newer=` + canary + `"
  allowed_return_urls: ["exp://` + canary + `/", "http://example.org/` + canary + `"]
  registration: {after: [{hook: session}, {hook: verify}]}
  login:
    before: [{hook: redirect, config: {to: "http://example.com/?key=` + canary + `"}}, {hook: audit}]
    after: [{hook: web_hook, config: {token: ` + canary + `}}, {hook: session}]
  settings:
    after: [{hook: web_hook, config: {token: ` + canary + `}}, {hook: revoke_active_sessions}, {hook: redirect, config: {to: "http://example.com/#` + canary + `"}}]
    failed: [{hook: web_hook, timeout: 1m, config: {token: ` + canary + `}}]
  verification: {enabled: true}
`))
	require.NoError(t, err)
	p, err := flowhook.New(cfg, o)
	require.NoError(t, err)
	found := p.Plan().Findings()
	assert.Greater(t, len(found), 15)
	text := strings.Join(said("", found), "\n") + log.String() + p.Plan().String() + p.Plan().Mermaid()
	_, err = flowhook.New(cfg, strict(o))
	require.Error(t, err)
	text += err.Error()
	requireSilent(t, text, "super-secret")
}
