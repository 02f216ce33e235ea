// Package browser_test tests examples/authservice in Chromium, which it drives over the DevTools protocol.
// The service runs as a process, as a user starts it.
package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

const (
	email    = "alice@example.org"
	newEmail = "liddell@example.org"
	password = "correct horse battery staple"
	inbox    = "/dev/mail/"

	newPassword = "another battery horse staple"

	currentToChange = "Current password to change your email address" // the label, as screen readers read it

	confirmSubject = "Please confirm your address"
	takenSubject   = "You already have an account"
	deviceSubject  = "New sign-in to your account"

	newSubject      = "Please confirm your new address"
	changeSubject   = "Request to change your email address"
	recoverySubject = "Reset your password"
	byProvider      = "Continue with the test provider"
)

// TestBrowser goes through all pages in one session, because each page depends on what was done
// before.
func TestBrowser(t *testing.T) {
	path := testkit.Chromium(t)
	w := &walk{t: t, service: newService(t), report: newReport()}
	w.alice = newVisitor(t, path, "Alice", w.service.url, w.report)
	w.elsewhere = newVisitor(t, path, "Alice elsewhere", w.service.url, w.report)
	w.bob = newVisitor(t, path, "Bob", w.service.url, w.report)
	w.register()
	w.verify()
	w.signInByPassword()
	w.changeProfile()
	w.signInByProvider()
	w.revoke()
	w.recover()
	w.errors()
	w.guess()
	w.emails() // the next step restarts the service, whose inbox is in memory
	w.maintain()
	w.states()
	w.report.log(t, w.alice, w.elsewhere, w.bob)
}

// A walk is the session of three users at their browsers.
type walk struct {
	t                     *testing.T
	service               *service
	report                *report
	alice, elsewhere, bob *visitor
}

func (w *walk) register() {
	alice := w.alice
	alice.open("/").at("/", "Welcome to Accounts").look("welcome")
	alice.open(inbox).at(inbox, "Inbox").look("inbox-empty")
	alice.follow("Back to the service").at("/", "Welcome to Accounts").follow("Register").at("/register", "Register").
		look("register")
	alice.fill("Name", "", "Email address", "nonsense", "Password", "short").presses(422, "Register").
		at("/register", "Register")
	alice.sees("Enter your name.", "Enter an email address, such as name@example.org.", "Use at least 8 characters.").
		look("register-error")
	alice.fill("Name", "Alice", "Email address", email, "Password", password).press("Register")
	alice.at("/register/sent", "Check your email").sees(email).cookies(false).look("register-sent")
	alice.press("Send it again").at("/register/sent", "Check your email").sees("We'll send it again.").
		look("register-again")
	alice.follow("Change it").at("/register", "Register").sees("Correct your email address").look("register-change")
	alice.open("/settings").at("/login", "Sign in") // registering does not sign in

	// Register the same address again: the page is the same, and the owner gets an email.
	w.elsewhere.open("/register").fill("Name", "Eve", "Email address", email, "Password", password).press("Register")
	w.elsewhere.at("/register/sent", "Check your email")
	alice.receives(confirmSubject, 1).receives(takenSubject, 1).look("inbox")
}

// verify uses the link in the email.
func (w *walk) verify() {
	alice := w.alice
	link := alice.read(confirmSubject).look("mail").link()
	alice.follow(link).at("/verify", "Confirm your address").look("verify") // as a mail scanner does
	alice.signIn(email, password).at("/", "Hello, Alice").sees("not confirmed yet").look("home-unconfirmed")
	alice.follow("Settings").at("/settings", "Settings").sees("Confirm your address").look("settings-unconfirmed")
	alice.press("Send a new link").at("/settings/sent", "Check your email").sees(email).look("settings-sent")
	alice.read(confirmSubject).follow(link).press("Confirm my address").
		at("/verify/done", "Your address is confirmed").look("verified")
	alice.follow("Continue").at("/", "Hello, Alice").sees("Your email address is confirmed.").look("home")
	alice.opens(410, link).sees("already used").look("verify-used")
	alice.open("/verify").at("/verify", "Confirm your address").sees("incomplete").look("verify-incomplete")
	w.elsewhere.opens(410, link).look("verify-used-signed-out").follow("Sign in").
		at("/login", "Sign in")
	w.elsewhere.open("/verify/done").look("verified-signed-out").follow("Sign in").at("/login", "Sign in")
}

func (w *walk) signInByPassword() {
	alice := w.alice
	alice.cookies(true)
	alice.open("/").press("Sign out").at("/", "Welcome to Accounts").cookies(false)
	alice.open("/").follow("Sign in").at("/login", "Sign in").look("login")
	alice.fill("Email address", email, "Password", "not the password").presses(422, "Sign in").
		sees("Wrong email address or password.").look("login-error")
	alice.fill("Password", "what I typed").reveals("login-password", "Show", "text").
		reveals("login-password", "Hide", "password")
	alice.byKeyboard(email, password).at("/", "Hello, Alice").cookies(true)
}

// changeProfile changes the name and the address, and confirms the new address.
func (w *walk) changeProfile() {
	alice := w.alice
	alice.open("/settings").at("/settings", "Settings").look("settings")
	// long values must not break a page
	alice.fill("Name", strings.Repeat("Alice", 20)).press("Save name")
	alice.at("/settings", "Settings").sees("Your name was saved.").look("settings-long")
	alice.open("/").at("/", "Hello, "+strings.Repeat("Alice", 20)).look("home-long")
	alice.open("/settings").fill("Name", "Alice Liddell").press("Save name")
	alice.fill("New email address", newEmail, currentToChange, "wrong").presses(422, "Change email").
		sees("This is not your current password.").look("settings-address-error")
	alice.fill(currentToChange, password).press("Change email")
	alice.at("/settings/pending", "Check your new inbox").look("settings-pending")
	alice.open("/").at("/", "Hello, Alice Liddell").sees(email)
	alice.receives(changeSubject, 1).receives(newSubject, 1).read(newSubject).sees("to " + newEmail)
	alice.follow(alice.link()).press("Change my address").at("/verify/done", "Your address is confirmed")
	alice.open("/").sees(newEmail, "Your email address is confirmed.")
	alice.open("/settings").fill("Name", "").presses(422, "Save name").at("/settings/profile", "Settings")
	alice.sees("Enter your name.").look("settings-profile-error")
	alice.open("/settings/profile").at("/settings", "Settings") // as if entered in the address bar
	alice.open("/settings").fill("Current password", "not the password", "New password", newPassword).
		presses(422, "Change password")
	alice.at("/settings/password", "Settings").sees("This is not your current password.").
		look("settings-password-error")
}

// signInByProvider signs Bob in, who has no password.
func (w *walk) signInByProvider() {
	bob := w.bob
	bob.open("/login").follow(byProvider).at("/authorize", "Sign in").look("provider")
	bob.fill("Name", " ", "Email address", "bob@example").presses(422, "Sign in").look("provider-error")
	bob.fill("Name", "Bob", "Email address", newEmail).presses(403, "Sign in").
		at("/login/oidc/development/callback", "Sign in")
	bob.sees("An account with your email address already exists.").cookies(false).look("refused")
	bob.open("/login").follow(byProvider).presses(403, "Cancel").at("/login/oidc/development/callback", "Sign in")
	bob.sees("You canceled the sign-in").look("canceled")
	bob.open("/login").follow(byProvider).fill("Name", "Bob", "Email address", "bob@example.org").press("Sign in")
	bob.at("/", "Hello, Bob").sees("bob@example.org", "Your email address is confirmed.").cookies(true)
	bob.open("/settings").at("/settings", "Settings").sees("To change it, set a password first.").look("settings-without-password")
	bob.press("Sign out").at("/", "Welcome to Accounts").cookies(false)
	bob.open("/login").follow(byProvider).fill("Name", "Robert", "Email address", "bob@example.org").press("Sign in")
	bob.at("/", "Hello, Bob").cookies(true) // the same account

	bob.open("/settings").follow(byProvider).at("/authorize", "Sign in")
	bob.fill("Name", "Bob", "Email address", "bob@example.org").press("Sign in")
	bob.at("/settings", "Settings").sees("Your account has no password yet.").look("settings-first-password")
	bob.fill("New password", newPassword).press("Set password").at("/settings", "Settings").sees("Your new password was saved.")
	bob.open(w.strangersLink()).at("/verify", "Confirm your address").
		sees("You are signed in as bob@example.org", "carol@example.org").look("verify-other-account")
	bob.press("Confirm my address").at("/verify/done", "Your address is confirmed").
		sees("That is the address of another account.").look("verified-other-account")
	bob.open("/settings").fill("Current password to delete your account", newPassword).press("Delete account").
		at("/settings/deleted", "Your account is deleted").look("deleted")
	bob.cookies(false)
}

// strangersLink registers Carol and returns the link that confirms her address.
func (w *walk) strangersLink() string {
	w.elsewhere.open("/register").fill("Name", "Carol", "Email address", "carol@example.org", "Password", password).
		press("Register")
	w.elsewhere.at("/register/sent", "Check your email").sees("carol@example.org")
	return w.elsewhere.receives(confirmSubject, 2).read(confirmSubject).link()
}

// revoke ends Alice's sessions from another browser: all at once, by changing the password, and one
// by one.
func (w *walk) revoke() {
	alice, elsewhere := w.alice, w.elsewhere
	elsewhere.signIn(newEmail, password).at("/", "Hello, Alice Liddell")
	alice.receives(deviceSubject, 1).read(deviceSubject).sees("Chrome on Linux").look("mail-new-device")
	alice.open("/sessions").at("/sessions", "Your sessions").look("sessions")
	require.Equal(w.t, 2, alice.count(".sessions li"))
	alice.localTimes()

	elsewhere.follow("Sessions").press("Sign out everywhere").at("/", "Welcome to Accounts").cookies(false)
	alice.open("/settings").at("/login", "Sign in")

	alice.signIn(newEmail, password)
	elsewhere.signIn(newEmail, password)
	elsewhere.open("/settings").fill("Current password", password, "New password", newPassword).
		press("Change password").at("/settings", "Settings").sees("Your new password was saved.")
	alice.open("/sessions").at("/login", "Sign in")
	elsewhere.open("/").at("/", "Hello, Alice Liddell")
	alice.fillLogin(newEmail, password).presses(422, "Sign in").sees("Wrong email address or password.")

	alice.signIn(newEmail, newPassword)
	alice.open("/sessions")
	require.Equal(w.t, 2, alice.count(".sessions li"))
	alice.goes(200, chromedp.Click("//li[not(contains(., 'this'))]//button", chromedp.NodeVisible)).
		at("/sessions", "Your sessions").sees("That browser was signed out.").look("sessions-one")
	require.Equal(w.t, 1, alice.count(".sessions li"))
	elsewhere.open("/settings").at("/login", "Sign in")
	alice.receives(deviceSubject, 1) // both browsers are known
}

// localTimes checks that the page shows times as in the browser's time zone.
func (v *visitor) localTimes() {
	v.t.Helper()
	run(v, command(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"}))
	at, err := time.Parse(time.RFC3339, js[string](v.open("/sessions"), "document.querySelector('time').dateTime"))
	require.NoError(v.t, err)
	want := at.Add(9 * time.Hour).Format("Jan 2, 2006, 3:04 PM")
	require.Equal(v.t, want, strings.ReplaceAll(js[string](v, "document.querySelector('time').textContent"), "\u202f", " "))
	run(v, command(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{}))
}

// recover sets a new password by email, at the width of a phone and of a small tablet.
func (w *walk) recover() {
	alice, elsewhere := w.alice, w.elsewhere
	alice.open("/").press("Sign out").at("/", "Welcome to Accounts").follow("Sign in").follow("Forgot your password?")
	alice.at("/recovery", "Reset your password").look("recovery").wide("recovery")
	alice.fill("Email address", "nonsense").presses(422, "Send the email").sees("Enter an email address").
		look("recovery-error")
	alice.open("/recovery").fill("Email address", newEmail).press("Send the email").
		at("/recovery/sent", "Check your email").look("recovery-sent").wide("recovery-sent")
	alice.press("Send it again").at("/recovery/sent", "Check your email").sees("We'll send it again.").
		look("recovery-again")
	elsewhere.signIn(newEmail, newPassword)

	link := alice.receives(recoverySubject, 1).read(recoverySubject).look("mail-recovery").link()
	alice.follow(link).at("/recovery/new", "Choose a new password").look("recovery-new").wide("recovery-new")
	alice.fill("New password", "short").presses(422, "Set the password").sees("Use at least 8 characters.").
		look("recovery-new-error").wide("recovery-new-error")
	alice.fill("New password", password).press("Set the password").at("/recovery/done", "Your password is changed").
		look("recovery-done").wide("recovery-done").cookies(true)
	alice.follow("Continue").at("/", "Hello, Alice Liddell")
	elsewhere.open("/settings").at("/login", "Sign in").sees("You were signed out").look("login-signed-out")
	elsewhere.opens(410, link).sees("already used").
		look("recovery-used").wide("recovery-used")
	elsewhere.follow("Reset your password").open("/recovery/code").at("/recovery/code", "Choose a new password").
		look("recovery-code").wide("recovery-code")
	elsewhere.fill("Email address", newEmail, "Code", "123456", "New password", newPassword).
		presses(422, "Set the password").sees("This code is wrong").look("recovery-code-error").wide("recovery-code-error")
	elsewhere.signIn(newEmail, password)
	elsewhere.open("/login?refresh").at("/login", "Sign in again").sees("For your security").look("login-again")
	elsewhere.open("/").press("Sign out").at("/", "Welcome to Accounts")
}

// errors opens missing pages and posts a form from another site.
func (w *walk) errors() {
	alice := w.alice
	alice.opens(404, "/nowhere").at("/nowhere", "Page not found").look("not-found")
	alice.opens(404, inbox+"99").at(inbox+"99", "Email not found").look("mail-gone")

	// The other site is on the same host, so the browser sends it the cookies.
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `<!DOCTYPE html><html lang="en"><title>Prize</title><link rel="icon" href="data:,">
<h1>You have won</h1><form method="post" action="%s/sessions/end-all"><button>Take it</button></form>`, w.service.url)
	}))
	defer other.Close()
	alice.open(other.URL).presses(403, "Take it").at("/sessions/end-all", "Request not accepted").look("cross-origin")
	alice.open("/").at("/", "Hello, Alice Liddell")
}

// guess tries passwords until the service refuses.
func (w *walk) guess() {
	const nobody = "nobody@example.org"
	w.elsewhere.open("/login")
	for range 5 {
		w.elsewhere.fillLogin(nobody, "a guess").presses(422, "Sign in").sees("Wrong email address or password.")
	}
	w.elsewhere.fillLogin(nobody, "a guess").presses(429, "Sign in").at("/login", "Sign in").look("too-many")
	w.elsewhere.open("/").at("/", "Welcome to Accounts")
}

// maintain turns the maintenance redirect on and off.
func (w *walk) maintain() {
	alice, elsewhere := w.alice, w.elsewhere
	elsewhere.open("/login").fillLogin(newEmail, password) // the form is open when maintenance begins
	w.service.stop()
	w.service.start("AUTH_CONFIG", w.service.underMaintenance())
	elsewhere.presses(503, "Sign in").at("/maintenance", "Down for maintenance")
	elsewhere.open("/").sees("Sign in or create an account.").
		goes(503, chromedp.Click(having("a", "Sign in"), chromedp.NodeVisible)).
		at("/maintenance", "Down for maintenance").look("maintenance")
	elsewhere.opens(503, "/login/oidc/development").at("/maintenance", "Down for maintenance")
	alice.open("/").at("/", "Hello, Alice Liddell").cookies(true) // sessions go on, even after a restart

	// The provider is down.
	w.service.stop()
	w.service.start("OIDC_PROVIDERS", "acme", "OIDC_ACME_ISSUER", "http://127.0.0.1:1", "OIDC_ACME_CLIENT_ID", "x",
		"OIDC_ACME_CLIENT_SECRET", "y", "OIDC_ACME_NAME", "Acme")
	elsewhere.open("/login").goes(503, chromedp.Click(having("a", "Continue with Acme"), chromedp.NodeVisible)).
		at("/login/oidc/acme", "Sign-in failed")
	elsewhere.sees("You cannot sign in with Acme right now, because it cannot be reached.").look("provider-away")
	elsewhere.signIn(newEmail, password) // maintenance is over
	elsewhere.open("/settings").presses(422, "Delete account").sees("This is not your current password.").
		look("settings-delete-error")
}
