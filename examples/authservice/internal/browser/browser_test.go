// Package browser_test takes a real browser through the real service: Chromium, driven over its DevTools protocol, and the
// program as a user starts it.
package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

const (
	email    = "alice@example.org"
	newEmail = "liddell@example.org"
	password = "correct horse battery staple"
	mailbox  = "/dev/mail/"

	newPassword = "another battery horse staple"

	confirmSubject = "Please confirm your address"
	takenSubject   = "You already have an account"
	deviceSubject  = "Somebody has signed in to your account"
	byProvider     = "Sign in with the test provider"
)

// TestBrowser is one walk: what a page shows depends on what was done before it.
func TestBrowser(t *testing.T) {
	path := testkit.Chromium(t)
	require.NoError(t, os.RemoveAll("screenshots"))
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
	w.errors()
	w.guess()
	w.maintain()
	w.report.log(t, w.alice, w.elsewhere, w.bob)
}

// A walk is three people at their browsers.
type walk struct {
	t                     *testing.T
	service               *service
	report                *report
	alice, elsewhere, bob *visitor
}

func (w *walk) register() {
	alice := w.alice
	alice.open("/").at("/", "Welcome").look("welcome")
	alice.open(mailbox).at(mailbox, "Mailbox").look("mailbox-empty")
	alice.follow("Back to the service").at("/", "Welcome").follow("Register").at("/register", "Register").look("register")
	alice.fill("Name", "", "Email address", "nonsense", "Password", "short").presses(422, "Register").at("/register", "Register")
	alice.sees("Enter your name.", "Enter an email address, such as name@example.org.", "Use at least 8 characters.").look("register-error")
	alice.fill("Name", "Alice", "Email address", email, "Password", password).press("Register")
	alice.at("/register/sent", "We have sent you a mail").cookies(false).look("register-sent")
	alice.open("/settings").at("/login", "Sign in") // who registers is not signed in

	// The same address once more: the page is the same, and who has the address is told.
	w.elsewhere.open("/register").fill("Name", "Eve", "Email address", email, "Password", password).press("Register")
	w.elsewhere.at("/register/sent", "We have sent you a mail")
	alice.receives(confirmSubject, 1).receives(takenSubject, 1).look("mailbox")
}

// verify goes by the mail's link.
func (w *walk) verify() {
	alice := w.alice
	link := alice.read(confirmSubject).look("mail").link()
	alice.follow(link).at("/verify", "Confirm your address").look("verify") // as a mail scanner does, which presses no button
	alice.signIn(email, password).at("/", "Hello, Alice").sees("not confirmed yet").look("home-unconfirmed")
	alice.follow("Settings").at("/settings", "Settings").sees("Confirm your address").look("settings-unconfirmed")
	alice.press("Send a new link").at("/settings/sent", "A link is on its way").look("settings-sent")
	alice.read(confirmSubject).follow(link).press("Confirm my address").at("/verify/done", "Your address is confirmed").look("verified")
	alice.follow("Go on").at("/", "Hello, Alice").sees("Your email address is confirmed.").look("home")
	alice.open(link).presses(410, "Confirm my address").sees("of no use any more").look("verify-used")
	alice.open("/verify").at("/verify", "Confirm your address").sees("not complete").look("verify-incomplete")
	w.elsewhere.open(link).presses(410, "Confirm my address").look("verify-used-signed-out").follow("Sign in").at("/login", "Sign in")
	w.elsewhere.open("/verify/done").look("verified-signed-out").follow("Sign in").at("/login", "Sign in")
}

func (w *walk) signInByPassword() {
	alice := w.alice
	alice.cookies(true)
	alice.open("/").press("Sign out").at("/", "Welcome").cookies(false)
	alice.open("/").follow("Sign in").at("/login", "Sign in").look("login")
	alice.fill("Email address", email, "Password", "not the password").presses(422, "Sign in").sees("is wrong").look("login-error")
	alice.byKeyboard(email, password).at("/", "Hello, Alice").cookies(true)
}

// changeProfile changes the address, too, and the new one has to be confirmed.
func (w *walk) changeProfile() {
	alice := w.alice
	alice.open("/settings").at("/settings", "Settings").look("settings")
	alice.fill("Name", strings.Repeat("Alice", 20), "Email address", strings.Repeat("a", 64)+"@"+strings.Repeat("example.", 15)+"org", "Password", password).press("Save profile")
	alice.at("/settings", "Settings").sees("Your changes are saved.").look("settings-long") // nothing of theirs breaks a page
	alice.open("/").at("/", "Hello, "+strings.Repeat("Alice", 20)).look("home-long")
	alice.open("/settings").fill("Name", "Alice Liddell", "Email address", newEmail).presses(422, "Save profile").sees("This is not your current password.").look("settings-address-error")
	alice.fill("Password", password).press("Save profile")
	alice.at("/settings", "Settings").sees("Your changes are saved.").look("settings-saved")
	alice.open("/").at("/", "Hello, Alice Liddell").sees(newEmail, "not confirmed yet")
	alice.receives(confirmSubject, 3).read(confirmSubject).sees("to " + newEmail)
	alice.follow(alice.link()).press("Confirm my address").at("/verify/done", "Your address is confirmed")
	alice.open("/").sees("Your email address is confirmed.")
	alice.open("/settings").fill("Name", "", "Email address", "nonsense").presses(422, "Save profile").at("/settings/profile", "Settings")
	alice.sees("Enter your name.").look("settings-profile-error")
	alice.open("/settings/profile").at("/settings", "Settings") // as somebody does who goes to the address bar
	alice.open("/settings").fill("Current password", "not the password", "New password", password).presses(422, "Change password")
	alice.at("/settings/password", "Settings").sees("This is not your current password.").look("settings-password-error")
}

// signInByProvider is Bob's way, who has no password.
func (w *walk) signInByProvider() {
	bob := w.bob
	bob.open("/login").follow(byProvider).at("/authorize", "Sign in").look("provider")
	bob.fill("Name", " ", "Email address", "bob@example").presses(422, "Sign in").look("provider-error")
	bob.fill("Name", "Bob", "Email address", newEmail).presses(403, "Sign in").at("/login/oidc/callback", "The sign-in did not work")
	bob.sees("There is an account with your email address already.").cookies(false).look("refused")
	bob.open("/login").follow(byProvider).presses(403, "Cancel").at("/login/oidc/callback", "The sign-in did not work")
	bob.open("/login").follow(byProvider).fill("Name", "Bob", "Email address", "bob@example.org").press("Sign in")
	bob.at("/", "Hello, Bob").sees("bob@example.org", "Your email address is confirmed.").cookies(true)
	bob.open("/settings").at("/settings", "Settings").sees("It cannot be changed here").look("settings-without-password")
	bob.press("Sign out").at("/", "Welcome").cookies(false)
	bob.open("/login").follow(byProvider).fill("Name", "Robert", "Email address", "bob@example.org").press("Sign in")
	bob.at("/", "Hello, Bob").cookies(true) // the same account again
}

// revoke ends Alice's sessions from another browser: all of them, by a new password, and one by one.
func (w *walk) revoke() {
	alice, elsewhere := w.alice, w.elsewhere
	elsewhere.signIn(newEmail, password).at("/", "Hello, Alice Liddell")
	alice.receives(deviceSubject, 1).read(deviceSubject).sees("Chrome on Linux").look("mail-new-device")
	alice.open("/sessions").at("/sessions", "Your sessions").look("sessions")
	require.Equal(w.t, 2, alice.count(".sessions li"))

	elsewhere.follow("Sessions").press("Sign out everywhere").at("/", "Welcome").cookies(false)
	alice.open("/settings").at("/login", "Sign in")

	alice.signIn(newEmail, password)
	elsewhere.signIn(newEmail, password)
	elsewhere.open("/settings").fill("Current password", password, "New password", newPassword).press("Change password").at("/settings", "Settings").sees("Your changes are saved.")
	alice.open("/sessions").at("/login", "Sign in")
	elsewhere.open("/").at("/", "Hello, Alice Liddell")
	alice.fillLogin(newEmail, password).presses(422, "Sign in").sees("is wrong")

	alice.signIn(newEmail, newPassword)
	alice.open("/sessions")
	require.Equal(w.t, 2, alice.count(".sessions li"))
	alice.goes(200, chromedp.Click("//li[not(contains(., 'this'))]//button", chromedp.NodeVisible)).at("/sessions", "Your sessions").look("sessions-one")
	require.Equal(w.t, 1, alice.count(".sessions li"))
	elsewhere.open("/settings").at("/login", "Sign in")
	alice.receives(deviceSubject, 1) // both browsers are known by now
}

// errors looks at what is not there, and at what another site must not do.
func (w *walk) errors() {
	alice := w.alice
	alice.opens(404, "/nowhere").at("/nowhere", "Page not found").look("not-found")
	alice.opens(404, mailbox+"99").at(mailbox+"99", "No such mail").look("mail-gone")

	// The other site is one of this machine too, so its browser sends the cookie, as it does between sites of one domain.
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `<!DOCTYPE html><html lang="en"><title>Prize</title><link rel="icon" href="data:,"><h1>You have won</h1><form method="post" action="%s/sessions/end-all"><button>Take it</button></form>`, w.service.url)
	}))
	defer other.Close()
	alice.open(other.URL).presses(403, "Take it").at("/sessions/end-all", "Not accepted").look("cross-origin")
	alice.open("/").at("/", "Hello, Alice Liddell")
}

// guess tries passwords until the service takes no more.
func (w *walk) guess() {
	const nobody = "nobody@example.org"
	w.elsewhere.open("/login")
	for range 5 {
		w.elsewhere.fillLogin(nobody, "a guess").presses(422, "Sign in").sees("is wrong")
	}
	w.elsewhere.fillLogin(nobody, "a guess").presses(429, "Sign in").at("/login", "Too many tries").look("too-many")
	w.elsewhere.follow("To the start page").at("/", "Welcome")
}

// maintain switches the redirect on in auth.yml, and off again.
func (w *walk) maintain() {
	alice, elsewhere := w.alice, w.elsewhere
	elsewhere.open("/login").fillLogin(newEmail, password) // the form is open when the maintenance begins
	w.service.stop()
	w.service.start("AUTH_CONFIG", w.service.underMaintenance())
	elsewhere.presses(503, "Sign in").at("/maintenance", "We are working on it")
	elsewhere.open("/").sees("You are not signed in.").goes(503, chromedp.Click(having("a", "Sign in"), chromedp.NodeVisible)).at("/maintenance", "We are working on it").look("maintenance")
	elsewhere.opens(503, "/login/oidc").at("/maintenance", "We are working on it")
	alice.open("/").at("/", "Hello, Alice Liddell").cookies(true) // who is signed in stays so, over a restart too

	// And a provider that is away.
	w.service.stop()
	w.service.start("OIDC_ISSUER", "http://127.0.0.1:1", "OIDC_CLIENT_ID", "x", "OIDC_CLIENT_SECRET", "y")
	elsewhere.open("/login").goes(503, chromedp.Click(having("a", "Sign in with 127.0.0.1:1"), chromedp.NodeVisible)).at("/login/oidc", "The sign-in did not work")
	elsewhere.sees("The provider cannot be reached right now.").look("provider-away")
	elsewhere.signIn(newEmail, newPassword) // and the maintenance is over
}
