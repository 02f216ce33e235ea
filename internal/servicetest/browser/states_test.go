package browser_test

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// states goes through the states of the pages that the rest of the walk does not lead to.
func (w *walk) states() {
	w.service.restart("AUTH_CONFIG", w.service.configured(w.t, `tries: \d+`, "tries: 1000"))
	v := w.alice.another(w.t, "Stella", chromedp.WithNewBrowserContext())
	db := w.service.database(w.t)
	w.signedOutStates(v, db)
	w.addressStates(v, w.bob)
	w.accountStates(v)
	w.requestStates(v, db)
	w.emails()
	w.throttledStates(v)
	w.codeStates(v)
	w.hookPage()
	w.templates()
}

const stella = "stella@example.org"

// signedOutStates are the sign-in page after a session has ended.
func (w *walk) signedOutStates(v *visitor, db *sql.DB) {
	v.registers("Stella", stella, password)
	v.open("/settings").fill("Name", "Stella Star")
	end := func() {
		_, err := db.Exec("DELETE FROM flowhook_sessions WHERE identity_id = (SELECT id FROM users WHERE email = $1)",
			stella)
		require.NoError(w.t, err)
	}
	end()
	v.press("Save name").at("/login", "Sign in").sees("we kept what you entered").look("login-kept")
	v.fillLogin(stella, password).press("Sign in").at("/settings", "Settings").sees("We kept what you typed.").
		look("settings-kept")
	end()
	v.press("Change password").at("/login", "Sign in").sees("was not saved.").look("login-unsaved")
	httpOnly := true
	run(v, command(network.SetCookie, network.SetCookieParams{
		Name: "signed_in", Value: "1.2", URL: v.base, HTTPOnly: &httpOnly}))
	v.open("/").sees("because your session expired").look("welcome-expired")
	v.open("/login").sees("because your session expired").look("login-expired")
}

// addressStates are the pages of a link that changes an address, and of one that undoes that.
func (w *walk) addressStates(v, other *visitor) {
	const next = "nova@example.org"
	v.signIn(stella, password).open("/settings").fill("New email address", next, currentToChange, password).
		press("Change email").at("/settings/pending", "Check your new inbox")
	link := v.mail(next, newSubject).link()
	v.open(link).sees("It replaces " + stella).look("verify-change")
	other.open(link).sees("It replaces s…@example.org").look("verify-change-elsewhere")
	v.press("Change my address").at("/verify/done", "Your address is confirmed")
	undo := v.mail(stella, changeSubject).link()
	v.open(undo).sees("This keeps "+stella, "Your password stops working").look("verify-undo").
		press("Cancel the change").
		at("/recovery", "Reset your password").sees("This is your address again").look("recovery-undone")
	v.opens(410, undo).look("verify-undone")
	v.open("/recovery/new").sees("This link is incomplete").look("recovery-incomplete")
	nothing := strings.Repeat("x", 43)
	v.opens(410, "/recovery/new?token="+nothing).sees("not copied completely").look("recovery-dead")
	v.opens(410, "/verify?token="+nothing).sees("not copied completely").look("verify-dead-signed-out")
	v.open("/recovery").fill("Email address", stella).press("Send the email")
	v.open(v.mail(stella, recoverySubject).link()).fill("New password", password).press("Set the password").
		at("/recovery/done", "Your password is changed")
	v.opens(410, "/verify?token="+nothing).look("verify-dead")
}

// accountStates are pages of users who are signed in.
func (w *walk) accountStates(v *visitor) {
	v.open("/settings").fill("Name", "Stella S.").press("Save name").sees("Your name was saved.").
		look("settings-saved")
	v.opens(503, "/maintenance").sees("You are still signed in and can continue.").look("maintenance-signed-in")
	v.opens(403, "/login/oidc/development/callback").at("/login/oidc/development/callback", "Sign-in failed").look("refused-signed-in")
	tab := v.another(w.t, "Stella, second tab")
	v.open("/settings").fill("Name", "Nobody")
	tab.open("/").press("Sign out").open("/login").follow(byProvider).
		fill("Name", "Bob", "Email address", "provided@example.org").press("Sign in").at("/", "Hello, Bob")
	v.presses(409, "Save name").at("/settings/profile", "You have changed accounts").look("changed-accounts")
	v.open("/settings?stale").sees("because you signed in too long ago").look("settings-stale")
	v.open("/settings").follow(byProvider).
		fill("Name", "Bob", "Email address", "provided@example.org").press("Sign in")
	v.at("/settings", "Settings").fill("Your email address to delete your account", "wrong").presses(422, "Delete account").
		sees("Enter provided@example.org.").look("settings-delete-confirm-error")
	v.open("/settings").fill("New password", "short").presses(422, "Set password").look("settings-first-password-error")
	v.press("Sign out")
}

// requestStates are the pages for requests that the service does not understand or cannot handle.
func (w *walk) requestStates(v *visitor, db *sql.DB) {
	v.opens(400, "/login?a=%zz").at("/login", "Request not understood").look("bad-request")
	js[chromedp.Void](v.open("/"), `(() => {
		const form = document.body.appendChild(document.createElement('form'));
		form.method = 'post';
		form.append(Object.assign(document.createElement('button'), {textContent: 'Post'}));
	})()`)
	v.presses(405, "Post").at("/", "Request not understood").look("bad-method")
	v.open("/login").fill("Email address", stella)
	js[chromedp.Void](v, "document.getElementById('login-password').value = 'x'.repeat(70000)")
	v.presses(413, "Sign in").at("/login", "Too much data").look("too-large")

	v.signIn(stella, password)
	rename := func(from, to string) {
		_, err := db.Exec("ALTER TABLE " + from + " RENAME TO " + to)
		require.NoError(w.t, err)
	}
	rename("sign_ins", "gone")
	v.opens(500, "/sessions").at("/sessions", "Something went wrong").look("failed")
	rename("gone", "sign_ins")
	if screenshots == "" {
		return // the next page takes ten seconds
	}
	tx, err := db.Begin()
	require.NoError(w.t, err)
	_, err = tx.Exec("UPDATE users SET name = name")
	require.NoError(w.t, err)
	v.open("/settings").fill("Name", "Stella").presses(503, "Save name").
		at("/settings/profile", "Not available right now").look("unavailable")
	require.NoError(w.t, tx.Rollback())
}

// throttledStates are the forms after too many attempts.
func (w *walk) throttledStates(v *visitor) {
	w.service.restart("AUTH_CONFIG", w.service.configured(w.t, `tries: \d+`, "tries: 1"))
	twice := func(button string, form func()) *visitor {
		w.t.Helper()
		form()
		v.presses(422, button)
		form()
		return v.presses(429, button)
	}
	twice("Change email", func() { v.open("/settings").fill("New email address", email, currentToChange, "wrong") }).
		at("/settings/email", "Settings").look("settings-throttled")
	v.fill("Current password to delete your account", "wrong").presses(429, "Delete account").
		at("/settings/delete", "Settings").look("settings-delete-throttled")
	v.press("Sign out")
	twice("Register", func() { v.open("/register").fill("Name", "Sue", "Email address", "sue") }).
		at("/register", "Register").look("register-throttled")
	v.open("/recovery").fill("Email address", stella).press("Send the email")
	v.open("/recovery").fill("Email address", stella).presses(429, "Send the email").
		at("/recovery", "Reset your password").look("recovery-throttled")
}

// codeStates are the pages with codes instead of links.
func (w *walk) codeStates(v *visitor) {
	const by = "code@example.org"
	w.service.restart("AUTH_CONFIG", w.service.configured(w.t, `# use: code`, "use: code"))
	v.open("/register").fill("Name", "Cody", "Email address", by, "Password", password).press("Register").
		at("/register/sent", "Check your email").look("register-sent-code")
	v.follow("Enter the code").at("/verify", "Confirm your address").look("verify-code")
	v.fill("Email address", by, "Code", "12345").presses(422, "Confirm my address").sees("This code is wrong").
		look("verify-code-error")
	v.press("Send a new code").at("/register/sent", "Check your email").sees("We'll send it again.").
		look("register-again-code")
	v.signIn(by, password).open("/settings").sees("Enter the code").look("settings-code")
	v.press("Send a new code").at("/settings/sent", "Check your email").look("settings-sent-code")
	v.press("Sign out").open("/recovery").fill("Email address", by).press("Send the email").
		at("/recovery/code", "Choose a new password").sees("we have sent a code").look("recovery-sent-code")
	v.press("Send a new code").at("/recovery/code", "Choose a new password").sees("We'll send it again.").
		look("recovery-again-code")
	v.mail(by, "Your password reset code")
	w.emails()
}

// emails takes screenshots of one email of each kind, as HTML.
func (w *walk) emails() {
	v := w.elsewhere
	v.open(inbox)
	ids := js[[]string](v, "Array.from(document.querySelectorAll('li a')).map(a => a.getAttribute('href'))")
	for _, id := range ids {
		v.open(inbox + id)
		html := js[string](v, "Array.from(document.querySelectorAll('details')).find(d => "+
			"d.querySelector('summary').textContent === 'HTML source').querySelector('pre').textContent")
		subject := strings.ToLower(js[string](v, "document.title"))
		name := "email-" + strings.Trim(regexp.MustCompile(`\W+`).ReplaceAllString(subject, "-"), "-")
		if slices.Contains(w.report.emails, name) {
			continue
		}
		w.report.emails = append(w.report.emails, name)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte(strings.Replace(html, "<head>", `<head><link rel="icon" href="data:,">`, 1)))
		}))
		v.open(server.URL)
		v.pictures(name).open("/")
		server.Close()
	}
}

// hookPage takes screenshots of the page with the configured hooks.
func (w *walk) hookPage() { w.elsewhere.open("/debug/hooks").pictures("hooks") }

// templates checks that the walk has led to all pages and emails of the service.
func (w *walk) templates() {
	shown := map[string]string{ // the name of a page by its template
		"ask": "recovery", "deleted": "deleted", "error": "not-found", "home": "home", "login": "login",
		"maintenance": "maintenance", "pending": "settings-pending", "recovered": "recovery-done",
		"refused": "provider-away", "register": "register", "sent": "register-sent", "sentrecovery": "recovery-sent",
		"sessions": "sessions", "settings": "settings", "used": "verify-used", "usedrecovery": "recovery-used",
		"verified": "verified", "verify": "verify",
	}
	others := []string{"layout", "form", "providers", "continue", "notconnected"} // parts, and pages of TestProviders
	files, err := filepath.Glob(folder + "/templates/*.html")
	require.NoError(w.t, err)
	require.Len(w.t, files, len(shown)+len(others))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".html")
		if !slices.Contains(others, name) {
			require.Contains(w.t, w.report.pages, shown[name], "no page of the template %s", name)
		}
	}
	require.Subset(w.t, w.report.emails, []string{"email-please-confirm-your-address",
		"email-please-confirm-your-new-address", "email-request-to-change-your-email-address", "email-reset-your-password",
		"email-you-already-have-an-account", "email-new-sign-in-to-your-account", "email-your-account-was-deleted",
		"email-your-password-was-changed", "email-your-address-confirmation-code", "email-your-password-reset-code"})
}
