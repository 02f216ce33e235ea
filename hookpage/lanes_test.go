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

func TestLane_Order(t *testing.T) {
	p := build(t, parse(t, `
selfservice:
  registration:
    before: [{hook: audit}]
    after:
      password: [{hook: note, phase: before_persist, timeout: 2s}, {hook: session}, {hook: verify}]
    failed: [{hook: audit}]
`), options())
	page := get(t, p)
	text, _ := lane(t, page, "registration · password")
	inOrder(t, text, "Request", "before", "The request arrives", "audit", "flow-wide",
		"A custom hook without a description.", "at 4:21",
		"Your handler checks the new user's input, including the password.",
		"before_persist", "nothing is saved yet", "note", "Fails after 2s.",
		"One transaction", "after", "save", "your handler stores the new user",
		"session", description(t, p, "session"), "verify", description(t, p, "verify"),
		"commit", "everything is saved", "The emails are handed to the courier", "Your handler answers",
		"If it fails", "rolled back", "as after a wrong password; then there is nothing to roll back", "audit", "Your handler answers with the error")
	other, _ := lane(t, page, "registration · any other strategy")
	inOrder(t, other, "audit", "Your handler identifies the new user.", "save", "commit", "Your handler answers",
		"If it fails", "audit")
	require.NotContains(t, other, "session")
	require.NotContains(t, other, "The emails are handed to the courier")
	require.NotContains(t, other, "before_persist ", "a step without hooks is left out")
}

// The numbers continue from step to step, because they show the order.
func TestLane_Numbers(t *testing.T) {
	_, markup := lane(t, get(t, build(t, parse(t,
		`{selfservice: {login: {before: [{hook: audit}], after: [{hook: audit}]}}}`), options())),
		"login")
	inOrder(t, markup, `<ol start="1">`, "<li", "<li", `<ol start="3">`, "<li", `<ol start="4">`, "<li", "<li",
		`<ol start="6">`)
}

func TestLane_FlowWideHooksAreLast(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  login:
    after:
      hooks: [{hook: audit}]
      password: {hooks: [{hook: revoke_active_sessions}]}
`), options()))
	text, markup := lane(t, page, "login · password")
	inOrder(t, text, "Your handler checks the password", "issues the session", "revoke_active_sessions",
		"Signs the user out everywhere else", "audit flow-wide")
	require.Equal(t, 1, strings.Count(markup, ">flow-wide<"))
}

func TestLane_Redirect(t *testing.T) {
	redirect := `{hook: redirect, config: {to: "/there?token=canary"}}`
	for _, row := range []struct {
		name, text string
		parts      []string
		without    string
	}{
		{"before", `{selfservice: {login: {before: [` + redirect + `], after: [{hook: audit}]}}}`, []string{
			"redirect flow-wide Answers 302 and ends the chain. Target: /there. Nothing after it runs, for any user.",
			"not reached Your handler", "not reached save", "audit never runs", "Answer",
			"302 to /there. Nothing was saved."}, "commit:"},
		{"before_persist", `{selfservice: {registration: {after: [` + redirect + `, {hook: verify}]}}}`, []string{
			"Your handler identifies", "Target: /there. Nothing is saved.", "not reached save", "verify never runs",
			"302 to /there. Nothing was saved."}, "emails are handed"},
		{"after", `{selfservice: {login: {after: [` + redirect + `, {hook: audit}]}}}`, []string{
			"save : your handler issues", "Target: /there. Everything is saved first.", "audit never runs",
			"commit : everything is saved", "The answer is sent: 302 to /there."}, "not reached"},
		{"failed", `{selfservice: {login: {failed: [` + redirect + `, {hook: audit}]}}}`, []string{
			"Your handler answers", "If it fails", "Target: /there. It replaces your handler's answer.",
			"audit never runs", "The answer is sent: 302 to /there."}, "not reached"},
		{"closed, after a custom hook", `{selfservice: {registration: {before: [{hook: audit}], after: [` + redirect + `], ` +
			`failed: [` + redirect + `, {hook: audit}]}}}`, []string{
			"The answer is sent: 302 to /there, unless an earlier hook answers. Nothing was saved.",
			"They do not run after a refusal or an error at before.", "The answer is sent: 302 to /there."}, "everything is saved"},
		{"after show_verification_ui", `{selfservice: {login: {after: [{hook: show_verification_ui}, ` + redirect + `, {hook: audit}], ` +
			`failed: [{hook: audit}, ` + redirect + `]}}}`, []string{
			"The page: https://auth.example.org/confirm.", "The answer is sent: 302 to /there, unless an earlier hook answers.",
			"If it fails", "302 to /there, unless an earlier hook answers."}, "not reached"},
		{"after a hook that never answers", `{selfservice: {login: {after: [{hook: verify}, ` + redirect + `, {hook: audit}]}}}`,
			[]string{"The answer is sent: 302 to /there."}, "unless an earlier"},
	} {
		t.Run(row.name, func(t *testing.T) {
			page := get(t, build(t, parse(t, row.text), options()))
			title := "login"
			if strings.Contains(row.text, "registration") {
				title = "registration"
			}
			text, markup := lane(t, page, title)
			inOrder(t, text, row.parts...)
			require.NotContains(t, text, row.without)
			require.Contains(t, markup, "<s><code", "a hook that never runs is struck out")
			require.NotContains(t, page, "canary")
		})
	}
}

func TestLane_RenamedRedirect(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "home", flowhook.Redirect("/home"))
	text, _ := lane(t, get(t, build(t, cfg, options())), "login")
	inOrder(t, text, "home flow-wide Target: /home. Everything is saved first.", "at ", "lanes_test.go:",
		"The answer is sent: 302 to /home")
}

func TestLane_CustomFlow(t *testing.T) {
	opts := options()
	opts.Flows, opts.Strategies = []flowhook.Flow{"invite"}, []flowhook.Strategy{"badge"}
	page := get(t, build(t, parse(t, `
selfservice:
  invite: {after: {badge: [{hook: audit}]}}
  login: {after: {badge: [{hook: audit}]}}
`), opts))
	text, _ := lane(t, page, "invite · badge")
	inOrder(t, text, "Your handler does its own work", "your handler stores its changes", "audit",
		"unless a hook has answered")
	text, _ = lane(t, page, "login · badge")
	inOrder(t, text, "Your handler identifies the user.")
}

func TestLane_Handler(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  login: {after: [{hook: audit}]}
  registration: {after: [{hook: audit}]}
  settings: {after: [{hook: audit}]}
  verification: {after: [{hook: audit}]}
  recovery: {after: [{hook: audit}]}
  logout: {after: [{hook: audit}]}
`), options()))
	for flow, parts := range map[string][]string{
		"login":        {"identifies the user.", "issues the session, unless a hook does."},
		"registration": {"identifies the new user.", "stores the new user."},
		"settings":     {"checks the requested change.", "stores the change."},
		"verification": {"checks the link or the code.", "marks the address as verified."},
		"recovery":     {"checks the link or the code.", "stores its changes."},
		"logout":       {"identifies the user.", "ends the session."},
	} {
		text, _ := lane(t, page, flow)
		inOrder(t, text, "Your handler "+parts[0], "your handler "+parts[1])
	}
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
	require.Contains(t, words(get(t, build(t, parse(t, text), options()))),
		"Hook runs are not recorded: Options.Recorder is not set.")
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
	require.NotContains(t, words(page), "not recorded")
	got, _ := lane(t, page, "login")
	inOrder(t, got, "audit", "ran 3, answered 0, refused 0, failed 0",
		"redirect", "ran 3, answered 3, refused 0, failed 0")
}

func TestLane_NoEmptySteps(t *testing.T) {
	text, _ := lane(t, get(t, build(t, parse(t, `{selfservice: {login: {after: [{hook: audit}]}}}`), options())),
		"login")
	inOrder(t, text, "Request", "The request arrives", "Your service", "One transaction", "audit",
		"Commit and answer", "Your handler answers, unless a hook has answered")
	for _, absent := range []string{"before", "Before saving", "If it fails", "failed"} {
		require.NotContains(t, text, absent)
	}
}

// A hook that never runs neither answers nor sends email.
func TestLane_SecondRedirect(t *testing.T) {
	text, _ := lane(t, get(t, build(t, parse(t, `
selfservice:
  allowed_return_urls: [/app]
  login:
    after:
      - {hook: redirect, config: {to: /one, allow_user_defined_redirect: true}}
      - {hook: redirect, config: {to: /two}}
      - {hook: verify}
`), options())), "login")
	inOrder(t, text, "Target: /one, or the request's return_to. Everything is saved first.", "redirect never runs",
		"verify never runs",
		"everything is saved", "The answer is sent: 302 to /one, or the request's return_to.")
	require.NotContains(t, text, "302 to /two.")
	require.NotContains(t, text, "The emails are handed to the courier")
}

// A custom hook describes itself. Its description is text, not markup.
func TestLane_CustomDescription(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "gate", described{idle})
	page := get(t, build(t, cfg, options()))
	text, _ := lane(t, page, "login")
	inOrder(t, text, "gate flow-wide Lets <b>staff</b> in. at ", "unless a hook has answered")
	require.NotContains(t, text, "without a description")
	require.NotContains(t, page, "<b>staff")
}

type described struct{ flowhook.Hook }

func (described) Describe() string { return "Lets <b>staff</b> in." }

// The built-in hooks that may answer or send emails say so in the last step.
func TestHandler_AddressHooks(t *testing.T) {
	for _, row := range []struct{ text, answer, emails string }{
		{"login: {after: {hooks: [{hook: require_verified_address}]}}", "Your handler answers, unless a hook has answered.", ""},
		{"login: {after: {hooks: [{hook: show_verification_ui}]}}", "Your handler answers, unless a hook has answered.", ""},
		{"settings: {after: {hooks: [{hook: notify_previous_addresses}]}}", "Your handler answers.", "The emails are handed to the courier."},
		{"settings: {after: {hooks: [{hook: verify_new_address}]}}", "Your handler answers.", "The emails are handed to the courier."},
	} {
		text := words(get(t, build(t, parse(t, "selfservice: {flows: {"+row.text+"}}"), options())))
		require.Contains(t, text, row.answer, row.text)
		require.Equal(t, row.emails != "", strings.Contains(text, "The emails are handed to the courier."), row.text)
	}
}
