package hookpage_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/hookpage"
	"github.com/stretchr/testify/require"
)

const trialYAML = `
selfservice:
  allowed_return_urls: [/app]
  flows:
    login:
      before: {hooks: [{hook: audit}]}
      after:
        password: {hooks: [{hook: require_verified_address}, {hook: revoke_active_sessions}]}
        oidc: {hooks: [{hook: require_verified_address, phase: before_persist}, {hook: verify}, {hook: show_verification_ui, config: {to: /sent}}]}
        code: {hooks: [{hook: verify}, {hook: show_verification_ui, config: {to: /sent}}]}
        totp: {hooks: [{hook: require_verified_address, phase: after}]}
        hooks: [{hook: redirect, config: {to: /home, allow_user_defined_redirect: true}}]
      failed: {hooks: [{hook: note}]}
    registration:
      before: {hooks: [{hook: redirect, config: {to: /closed}}]}
      after: {hooks: [{hook: audit}]}
    settings:
      after:
        profile: {hooks: [{hook: verify_new_address}, {hook: notify_previous_addresses}, {hook: verify}, {hook: show_verification_ui, config: {to: /sent}}]}
        oidc: {hooks: [{hook: verify}, {hook: show_verification_ui, config: {to: /sent}}]}
        password: {hooks: [{hook: notify_previous_addresses}]}
      failed: {hooks: [{hook: audit}, {hook: redirect, config: {to: /sorry}}]}
    logout:
      after: {hooks: [{hook: audit}]}
`

// toPage is the answer of show_verification_ui.
const toPage = "302 to /sent if an email was sent (none is sent within the interval); otherwise "

func TestHandler_DryRun(t *testing.T) {
	p := build(t, parse(t, trialYAML), options())
	for _, row := range []struct{ query, result, path string }{
		{"flow=login", "login by any other strategy : 302 to /home. Everything is saved.",
			"The request arrives.|audit|Your handler|save|redirect|commit|The answer"},
		{"flow=login&strategy=webauthn&return_to=/app/x", "login by any other strategy : 302 to /app/x. Everything is saved.",
			"The request arrives.|audit|Your handler|save|redirect|commit|The answer"},
		{"flow=login&return_to=https://evil.example/", "No hook runs: return_to is not allowed. With AnswerError, the answer is 400.", ""},
		{"flow=login&strategy=password", "303 to https://auth.example.org/confirm, or 403 for a JSON client. Nothing is saved.",
			"The request arrives.|audit|Your handler|require_verified_address|The answer"},
		{"flow=login&strategy=password&verified=1&signed_in=1", "302 to /home. Everything is saved.",
			"The request arrives.|audit|Your handler|require_verified_address|save|revoke_active_sessions|redirect|commit|The answer"},
		{"flow=login&strategy=code", toPage + "302 to /home. Everything is saved.",
			"The request arrives.|audit|Your handler|save|verify|show_verification_ui|redirect|commit|The emails|The answer"},
		{"flow=login&strategy=code&verified=1", "302 to /home. Everything is saved.",
			"The request arrives.|audit|Your handler|save|verify|show_verification_ui|redirect|commit|The answer"},
		{"flow=login&strategy=totp", "403 address_not_verified. Nothing is saved.",
			"The request arrives.|audit|Your handler|save|require_verified_address|note|The answer"},
		{"flow=registration", "302 to /closed. Nothing is saved.", "The request arrives.|redirect|The answer"},
		{"flow=settings&strategy=profile&signed_in=1&verified=1", "Your handler answers. Everything is saved.",
			"The request arrives.|Your handler|verify_new_address|save|notify_previous_addresses|verify|show_verification_ui|commit|Your handler"},
		{"flow=settings&strategy=profile&signed_in=1", toPage + "your handler answers. Everything is saved.",
			"The request arrives.|Your handler|verify_new_address|save|notify_previous_addresses|verify|show_verification_ui|commit|The emails|The answer"},
		{"flow=settings&strategy=profile&signed_in=1&verified=1&address_changes=1",
			toPage + "your handler answers. Everything but the new address is saved.",
			"The request arrives.|Your handler|verify_new_address|save|notify_previous_addresses|verify|show_verification_ui|commit|The emails|The answer"},
		{"flow=settings&strategy=profile&verified=1", "Your handler answers. Everything is saved.",
			"The request arrives.|Your handler|verify_new_address|save|notify_previous_addresses|verify|show_verification_ui|commit|Your handler"},
		{"flow=settings&strategy=profile&verified=1&address_changes=1",
			"302 to /sorry instead of 500, because x.Session is not set. Nothing is saved.",
			"The request arrives.|Your handler|verify_new_address|audit|redirect|The answer"},
		{"flow=settings&strategy=oidc&verified=1", "Your handler answers. Everything is saved.",
			"The request arrives.|Your handler|save|verify|show_verification_ui|commit|Your handler"},
		{"flow=settings&strategy=oidc&verified=1&address_changes=1",
			toPage + "your handler answers. Everything is saved.",
			"The request arrives.|Your handler|save|verify|show_verification_ui|commit|The emails|The answer"},
		{"flow=settings&strategy=password", "Your handler answers. Everything is saved.",
			"The request arrives.|Your handler|save|notify_previous_addresses|commit|Your handler"},
		{"flow=settings&strategy=password&address_changes=1", "Your handler answers. Everything is saved.",
			"The request arrives.|Your handler|save|notify_previous_addresses|commit|The emails|Your handler"},
		{"flow=login&strategy=code&verified=1&address_changes=1", "302 to /home. Everything is saved.",
			"The request arrives.|audit|Your handler|save|verify|show_verification_ui|redirect|commit|The answer"},
		{"flow=login&strategy=password&return_to=/app/x",
			"Nothing is saved. No hook on this path uses return_to. It is allowed.",
			"The request arrives.|audit|Your handler|require_verified_address|The answer"},
		{"flow=logout&return_to=/x",
			"Your handler answers. Everything is saved. No hook on this path uses return_to. It is not allowed.",
			"The request arrives.|Your handler|save|audit|commit|Your handler"},
	} {
		t.Run(row.query, func(t *testing.T) {
			page := read(t, query(t, p, "?"+row.query))
			require.Contains(t, page.all("p", "result")[0].words(), row.result)
			lit := page.all("li", "lit")
			var path []string
			if row.path != "" {
				path = strings.Split(row.path, "|")
			}
			require.Len(t, lit, len(path))
			for i, e := range lit {
				if strings.HasPrefix(path[i], "The answer") {
					require.Contains(t, page.all("p", "result")[0].words(), strings.TrimPrefix(e.words(), "The answer is sent: "))
				}
				require.Truef(t, strings.HasPrefix(e.words(), path[i]), "%q is not %q", e.words(), path[i])
			}
			open := 0
			for _, l := range page.all("details", "lane") {
				if _, is := l.attr["open"]; is {
					open++
					require.Contains(t, page.all("p", "result")[0].words(), l.all("h3", "")[0].words()[:5])
				}
			}
			require.Equal(t, 1, open)
		})
	}
}

// Without hooks at failed, a refusal is the answer of the lane itself.
func TestHandler_DryRunRefused(t *testing.T) {
	p := build(t, parse(t, "selfservice: {login: {after: [{hook: require_verified_address, phase: after}]}}"), options())
	lit := read(t, query(t, p, "?flow=login")).all("li", "lit")
	require.Equal(t, "The answer is sent: 403 address_not_verified.", lit[len(lit)-1].words())
}

// The form says what both states of the box mean.
func TestHandler_DryRunForm_Verified(t *testing.T) {
	page := read(t, get(t, build(t, parse(t, trialYAML), options())))
	require.Contains(t, page.all("form", "")[0].words(), "every address verified (unchecked: none)")
}

// Each built-in hook says what it does to the request.
func TestHandler_DryRunOfHooks(t *testing.T) {
	p := build(t, parse(t, trialYAML), options())
	for _, row := range []struct{ query, hook, want string }{
		{"flow=login", "redirect", "Answers 302 to /home."},
		{"flow=login&return_to=/app/x%3Fy", "redirect", "Answers 302 to /app/x."},
		{"flow=login", "audit", "Assumed to pass."},
		{"flow=login&strategy=code", "verify", "No address is verified: emails each one, unless it did within the interval."},
		{"flow=login&strategy=code&verified=1", "verify", "Sends nothing: every address is verified."},
		{"flow=login&strategy=code", "show_verification_ui", "Answers 302 to /sent if an email was sent (none is sent within the interval)."},
		{"flow=login&strategy=code&verified=1", "show_verification_ui", "Passes: no verification email was sent."},
		{"flow=login&strategy=code", "redirect", "If no email was sent: Answers 302 to /home."},
		{"flow=login&strategy=password", "require_verified_address",
			"No address is verified: emails each one. Answers 303 to https://auth.example.org/confirm, or"},
		{"flow=login&strategy=password&verified=1", "require_verified_address", "Passes: every address is verified."},
		{"flow=login&strategy=totp", "require_verified_address",
			"No address is verified: refuses with 403 address_not_verified, and everything"},
		{"flow=login&strategy=password&verified=1", "revoke_active_sessions", "except one that this request issues."},
		{"flow=login&strategy=password&verified=1&signed_in=1", "revoke_active_sessions", "except the one that the handler"},
		{"flow=settings&strategy=profile", "verify_new_address", "Passes: no address changes."},
		{"flow=settings&strategy=profile&address_changes=1", "verify_new_address", "Fails: 500, because x.Session is not set."},
		{"flow=settings&strategy=profile&signed_in=1&address_changes=1", "verify_new_address", "Emails the new address, unless"},
		{"flow=settings&strategy=profile&signed_in=1&verified=1&address_changes=1", "verify", "because the new one waits."},
		{"flow=settings&strategy=profile&signed_in=1&verified=1&address_changes=1", "show_verification_ui", "Answers 302"},
		{"flow=settings&strategy=profile&verified=1", "show_verification_ui", "Passes: no verification email was sent."},
		{"flow=settings&strategy=oidc&verified=1", "verify", "Sends nothing: every address is verified."},
		{"flow=settings&strategy=oidc&verified=1&address_changes=1", "verify", "Emails the new address, unless it did"},
		{"flow=settings&strategy=password", "notify_previous_addresses", "Sends nothing: no address changes."},
		{"flow=settings&strategy=password&address_changes=1", "notify_previous_addresses", "Emails the previous addresses"},
	} {
		found := false
		for _, e := range read(t, query(t, p, "?"+row.query)).all("li", "lit") {
			if tried := e.all("p", "tried"); strings.HasPrefix(e.words(), row.hook+" ") {
				require.Len(t, tried, 1, row.hook)
				require.Contains(t, tried[0].words(), row.want, row.query)
				found = true
			}
		}
		require.True(t, found, row)
	}
}

// The form shows what was chosen. What the reader typed is text.
func TestHandler_DryRunForm(t *testing.T) {
	p := build(t, parse(t, trialYAML), options())
	page := read(t, query(t, p, `?flow=login&strategy=code&verified=1&address_changes=1&return_to=%22%3E%3Cb%3E`))
	form := page.all("form", "")[0]
	require.Equal(t, "get", form.attr["method"])
	var chosen []string
	for _, o := range form.all("option", "") {
		if _, is := o.attr["selected"]; is {
			chosen = append(chosen, o.words())
		}
	}
	require.Equal(t, []string{"login", "code"}, chosen)
	inputs := form.all("input", "")
	require.Equal(t, `"><b>`, inputs[0].attr["value"])
	require.NotContains(t, inputs[1].attr, "checked")
	require.Contains(t, inputs[2].attr, "checked")
	require.Contains(t, inputs[3].attr, "checked")
	require.NotContains(t, page.markup, "<b>\"")

	require.Empty(t, read(t, get(t, p)).all("li", "lit"))
}

func TestHandler_BadQuery(t *testing.T) {
	server := httptest.NewServer(hookpage.Handler(build(t, parse(t, trialYAML), options()), hookpage.Options{}))
	defer server.Close()
	for parameters, want := range map[string]int{
		"?lane=nowhere": http.StatusNotFound, "?flow=nowhere": http.StatusNotFound, "?format=xml": http.StatusBadRequest,
		"?format=yaml": http.StatusBadRequest, "?format=mermaid": http.StatusBadRequest,
		"?format=yaml&flow=login": http.StatusBadRequest, "?lane=login": http.StatusOK,
	} {
		status, body := fetch(t, server.URL+parameters)
		require.Equal(t, want, status, parameters)
		require.Equal(t, want == http.StatusOK, strings.Contains(body, "<html"), parameters)
	}
}
