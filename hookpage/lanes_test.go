package hookpage_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/stretchr/testify/require"
)

func TestALaneSaysWhatHappensInOrder(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  registration:
    before: [{hook: audit}]
    after:
      password: [{hook: note, phase: before_persist, timeout: 2s}, {hook: session}, {hook: verify}]
    failed: [{hook: audit}]
`), options()))
	text, _ := lane(t, page, "registration by password")
	inOrder(t, text, "Request", "before", "The request comes in", "audit", "flow-wide", "A hook of your own", "at 4:21",
		"Your handler checks what the new user has entered, the password too",
		"before_persist", "nothing is saved yet", "note", "At most 2s",
		"One transaction", "after", "save", "your handler stores the new user",
		"session", "Signs the user in: sends the session cookie", "verify", "Mails a link to each address that is not verified, after the commit",
		"commit", "all of it is saved", "The mails leave", "Your handler answers",
		"If it fails", "all of it is undone", "audit", "Your handler answers with the error")
	other, _ := lane(t, page, "registration by any other strategy")
	inOrder(t, other, "audit", "Your handler checks who the new user is", "save", "commit", "Your handler answers", "If it fails", "audit")
	require.NotContains(t, other, "session")
	require.NotContains(t, other, "The mails leave")
	require.NotContains(t, other, "before_persist ", "a step without hooks is left out")
}

// The numbers go on from step to step: they are the order.
func TestItemsAreNumberedThroughTheLane(t *testing.T) {
	_, markup := lane(t, get(t, build(t, parse(t, `{selfservice: {login: {before: [{hook: audit}], after: [{hook: audit}]}}}`), options())), "login by any strategy")
	inOrder(t, markup, `<ol start="1">`, "<li", "<li", `<ol start="3">`, "<li", `<ol start="4">`, "<li", "<li", `<ol start="6">`)
}

func TestTheStrategysHooksComeBeforeTheFlowWideOnes(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  login:
    after:
      hooks: [{hook: audit}]
      password: {hooks: [{hook: revoke_active_sessions}]}
`), options()))
	text, markup := lane(t, page, "login by password")
	inOrder(t, text, "Your handler checks the password", "issues the session", "revoke_active_sessions", "Signs the user out everywhere else", "audit flow-wide")
	require.Equal(t, 1, strings.Count(markup, ">flow-wide<"))
}

func TestARedirectKeepsTheRestFromHappening(t *testing.T) {
	redirect := `{hook: redirect, config: {to: "/there?token=canary"}}`
	for _, row := range []struct {
		name, text string
		parts      []string
		without    string
	}{
		{"at before", `{selfservice: {login: {before: [` + redirect + `], after: [{hook: audit}]}}}`, []string{
			"redirect flow-wide Answers 302 to /there: nothing after it runs, whoever comes",
			"not reached Your handler", "not reached save", "audit never runs", "Answer", "302 to /there. Nothing was saved."}, "commit:"},
		{"at before_persist", `{selfservice: {registration: {after: [` + redirect + `, {hook: verify}]}}}`, []string{
			"Your handler checks", "Answers 302 to /there: nothing after it runs, and nothing is saved", "not reached save", "verify never runs",
			"302 to /there. Nothing was saved."}, "mails leave"},
		{"at after", `{selfservice: {login: {after: [` + redirect + `, {hook: audit}]}}}`, []string{
			"save : your handler issues", "Answers 302 to /there, when all is saved: no hook after it runs", "audit never runs", "commit : all of it is saved", "The answer leaves: 302 to /there."}, "not reached"},
		{"at failed", `{selfservice: {login: {failed: [` + redirect + `, {hook: audit}]}}}`, []string{
			"Your handler answers", "If it fails", "Answers 302 to /there, in place of your handler", "audit never runs", "The answer leaves: 302 to /there."}, "not reached"},
	} {
		t.Run(row.name, func(t *testing.T) {
			page := get(t, build(t, parse(t, row.text), options()))
			title := "login by any strategy"
			if strings.Contains(row.text, "registration") {
				title = "registration by any strategy"
			}
			text, markup := lane(t, page, title)
			inOrder(t, text, row.parts...)
			require.NotContains(t, text, row.without)
			require.Contains(t, markup, "<s><code", "what never runs is struck out")
			require.NotContains(t, page, "canary")
		})
	}
}

func TestARedirectUnderANameOfTheHosts(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "home", flowhook.Redirect("/home"))
	text, _ := lane(t, get(t, build(t, cfg, options())), "login by any strategy")
	inOrder(t, text, "home", "Answers 302 to /home", "at ", "lanes_test.go:", "The answer leaves: 302 to /home")
}

func TestFlowsOfTheHostsOwn(t *testing.T) {
	opts := options()
	opts.Flows, opts.Strategies = []flowhook.Flow{"invite"}, []flowhook.Strategy{"badge"}
	page := get(t, build(t, parse(t, `{selfservice: {invite: {after: {badge: [{hook: audit}]}}, login: {after: {badge: [{hook: audit}]}}}}`), opts))
	text, _ := lane(t, page, "invite by badge")
	inOrder(t, text, "Your handler does its own work", "your handler stores what it has to", "audit", "unless a hook of your own has")
	text, _ = lane(t, page, "login by badge")
	inOrder(t, text, "Your handler checks who it is")
}

func TestTheHandlersPartIsToldForEachFlow(t *testing.T) {
	const entry = `{after: [{hook: audit}]}`
	page := get(t, build(t, parse(t, `{selfservice: {login: `+entry+`, registration: `+entry+`, settings: `+entry+`, verification: `+entry+`, recovery: `+entry+`, logout: `+entry+`}}`), options()))
	for flow, parts := range map[string][]string{
		"login":        {"checks who it is.", "issues the session, if no hook does."},
		"registration": {"checks who the new user is.", "stores the new user."},
		"settings":     {"checks what is to be changed.", "stores the change."},
		"verification": {"checks the link, or the code.", "marks the address as verified."},
		"recovery":     {"checks the link, or the code.", "stores what it has to."},
		"logout":       {"finds out who signs out.", "ends the session."},
	} {
		text, _ := lane(t, page, flow+" by any strategy")
		inOrder(t, text, "Your handler "+parts[0], "your handler "+parts[1])
	}
}

func TestFindingsStandBesideTheirHook(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  login:
    after:
      password: [{hook: revoke_active_sessions}]
      hooks:
        - hook: redirect
          config: {to: /home}
        - hook: audit
`), options()))
	text, markup := lane(t, page, "login by password")
	inOrder(t, text, "audit never runs", "at 9:17", "warning never-runs : hook", "the redirect at 7:17 always answers before it.", "To mend it:", "remove it.")
	require.Contains(t, markup, `<li class="warning">`)
	require.Equal(t, 1, strings.Count(text, "at 9:17"), "what is to be mended at the hook itself does not say where once more")
	text, markup = lane(t, page, "login by any other strategy")
	inOrder(t, text, "audit never runs", "warning never-runs : see login by password")
	require.NotContains(t, text, "To mend it", "it is spelled out once")
	require.Regexp(t, `href="#flow-1-lane-1"`, markup)
	require.Contains(t, page, `<h3 id="flow-1-lane-1">login by password</h3>`)
	inOrder(t, words(page), "Findings 1 warning and 1 note. Each stands beside the hook that it is about.")
}

func TestAFindingSaysWhereItIsToBeMended(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  login:
    after:
      - hook: redirect
        config:
          to: http://www.example.org/
`), options()))
	text, _ := lane(t, page, "login by any strategy")
	inOrder(t, text, "at 5:15", "warning plain-redirect", "To mend it: use https.", "at 7:15")
}

func TestFindingsWithoutAHookStandOnTop(t *testing.T) {
	opts := options()
	opts.VerificationURL, opts.Secrets = "http://auth.example.org/confirm", nil
	page := get(t, build(t, parse(t, `
secrets: {session: [something-super-secret]}
selfservice: {registration: {after: [{hook: verify}]}}
`), opts))
	top, _, _ := strings.Cut(page, ">How to read this<")
	text := words(top)
	inOrder(t, text, "Findings 2 warnings and 0 notes. These are about settings", "warning example-secret", "To mend it: generate one with: openssl rand -hex 32", "at 2:21",
		"warning plain-link", "plain http", "To mend it: use https", "at Options.VerificationURL")
	require.NotContains(t, page, "something-super")
}

func TestHandler_Recorder(t *testing.T) {
	text := `
selfservice:
  login:
    after:
      - hook: audit
      - hook: redirect
        config: {to: /home}
`
	require.Contains(t, words(get(t, build(t, parse(t, text), options()))), "Nothing records how often hooks run: Options.Recorder is not set.")
	require.NotContains(t, words(get(t, build(t, parse(t, text), options()))), "ran 0")

	opts := options()
	recorder := hookpage.NewRecorder()
	opts.Wrap = recorder.Wrap
	p := build(t, parse(t, text), opts)
	for range 3 {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest(http.MethodPost, "/", nil)}
		handled, err := p.Complete(flowhook.NewContext(context.Background(), x), flowhook.Login, flowhook.Password, nil)
		require.True(t, handled)
		require.NoError(t, err)
	}
	page := get(t, p, hookpage.Options{Recorder: recorder})
	require.NotContains(t, words(page), "Nothing records")
	got, _ := lane(t, page, "login by any strategy")
	inOrder(t, got, "audit", "ran 3, answered 0, failed 0", "redirect", "ran 3, answered 3, failed 0")
}

func TestAStepWithoutHooksIsLeftOut(t *testing.T) {
	text, _ := lane(t, get(t, build(t, parse(t, `{selfservice: {login: {after: [{hook: audit}]}}}`), options())), "login by any strategy")
	inOrder(t, text, "Request", "The request comes in", "Your service", "One transaction", "audit", "Commit and answer", "Your handler answers, unless a hook of your own has")
	for _, absent := range []string{"before", "Last look", "If it fails", "failed"} {
		require.NotContains(t, text, absent)
	}
}

// What never runs answers nothing and mails nothing.
func TestTheAnswerIsThatOfTheFirstRedirect(t *testing.T) {
	text, _ := lane(t, get(t, build(t, parse(t, `
selfservice:
  allowed_return_urls: [/app]
  login:
    after:
      - {hook: redirect, config: {to: /one, allow_user_defined_redirect: true}}
      - {hook: redirect, config: {to: /two}}
      - {hook: verify}
`), options())), "login by any strategy")
	inOrder(t, text, "Answers 302 to /one, or where the request's return_to says, when all is saved", "redirect never runs", "verify never runs",
		"all of it is saved", "The answer leaves: 302 to /one, or where the request's return_to says.")
	require.NotContains(t, text, "302 to /two.")
	require.NotContains(t, text, "The mails leave")
}

func TestAFindingIsSpelledOutInTheFirstLaneOfAll(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  registration:
    after:
      password: [{hook: note}]
      code: [{hook: note}]
      hooks: [{hook: redirect, phase: after, config: {to: /home}}, {hook: audit}]
`), options()))
	first, _ := lane(t, page, "registration by password")
	inOrder(t, first, "audit never runs", "To mend it:")
	for _, title := range []string{"registration by code", "registration by any other strategy"} {
		text, _ := lane(t, page, title)
		inOrder(t, text, "audit never runs", "never-runs : see registration by password")
	}
}
