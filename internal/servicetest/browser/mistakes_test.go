package browser_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestMistakes checks that visitors who do everything wrong lose nothing: each sees what has happened
// and what to do, finds what was typed except passwords, and the database has what the page says. All
// of them share a service and a Chromium process, and each has browsers and accounts of its own.
func TestMistakes(t *testing.T) {
	m := &mistakes{service: newService(t), path: testkit.Chromium(t)}
	m.chromium = newVisitor(t, m.path, "nobody", m.service.url, newReport())
	m.db = m.service.database(t)
	m.many = m.service.configured(t, `tries: \d+`, "tries: 1000")
	m.service.restart("AUTH_CONFIG", m.many)
	t.Run("double_clicks", m.doubleClicks)
	t.Run("same_form_twice", m.sameFormTwice)
	t.Run("two_tabs", m.twoTabs)
	t.Run("another_account", m.anotherAccount)
	t.Run("ended_session", m.endedSession)
	t.Run("back_and_reload", m.backAndReload)
	t.Run("links", m.links)
	t.Run("changed_address", m.changedAddress)
	t.Run("names", m.names)
	t.Run("addresses", m.addresses)
	t.Run("passwords", m.passwords)
	t.Run("no_script", m.noScript)
	t.Run("no_cookies", m.noCookies)
	t.Run("no_server", m.noServer)
}

type mistakes struct {
	service  *service
	chromium *visitor
	path     string // of Chromium
	many     string // the path of an auth.yml that allows many attempts
	db       *sql.DB
}

// browser opens another browser.
func (m *mistakes) browser(t *testing.T, name string) *visitor {
	t.Helper()
	return m.chromium.another(t, name, chromedp.WithNewBrowserContext())
}

// tab opens another tab of a browser.
func (v *visitor) tab() *visitor { return v.another(v.t, v.name+", second tab") }

// has requires that the database has n rows. from is the rest of the query, after FROM.
func (m *mistakes) has(t *testing.T, n int, from string, args ...any) {
	t.Helper()
	var got int
	require.NoError(t, m.db.QueryRow("SELECT count(*) FROM "+from, args...).Scan(&got))
	require.Equal(t, n, got, from)
}

const withEmail = "users WHERE email = $1"

// mail waits for an email and opens it.
func (v *visitor) mail(to, subject string) *visitor {
	v.t.Helper()
	search := chromedp.Search("//li[span/bdi='to " + to + "']/a[normalize-space()=" + quoted(subject) + "]")
	found := "Array.from(document.querySelectorAll('li')).some(li => li.querySelector('a').textContent.trim() === " +
		quoted(subject) + " && li.querySelector('span bdi').textContent === " + quoted("to "+to) + ")"
	for deadline := time.Now().Add(patience); !js[bool](v.open(inbox), found); {
		if time.Now().After(deadline) {
			v.fatal("no email %q to %s", subject, to)
		}
	}
	return v.goes(200, chromedp.Click(search, chromedp.NodeVisible))
}

// registers creates an account, opens the link in the email and signs in.
func (v *visitor) registers(name, email, password string) *visitor {
	v.t.Helper()
	v.open("/register").paste("Name", name, "Email address", email, "Password", password).press("Register").
		at("/register/sent", "Check your email")
	v.mail(email, confirmSubject).open(v.link()).press("Confirm my address").
		at("/verify/done", "Your address is confirmed")
	return v.signsIn(email, password)
}

// paste clicks labels and replaces the values of their fields at once, which is faster than typing.
func (v *visitor) paste(pairs ...string) *visitor {
	v.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		v.fill(pairs[i], "")
		run(v, command(input.InsertText, input.InsertTextParams{Text: pairs[i+1]}))
	}
	return v
}

// signsIn is signIn with pasted values.
func (v *visitor) signsIn(email, password string) *visitor {
	v.t.Helper()
	return v.open("/login").paste("Email address", email, "Password", password).press("Sign in")
}

// typed returns the value of the field with a label.
func (v *visitor) typed(label string) string {
	v.t.Helper()
	return js[string](v, "Array.from(document.querySelectorAll('label')).find(l => l.textContent.trim() === "+
		quoted(label)+").control.value")
}

// clicksTwice clicks on a button twice in a row, by its text, and waits for the page.
func (v *visitor) clicksTwice(text string) *visitor {
	v.t.Helper()
	button := "Array.from(document.querySelectorAll('button')).find(b => b.textContent.trim() === " + quoted(text) + ")"
	js[chromedp.Void](v, button+".scrollIntoView({block: 'center'})")
	at := js[[]float64](v, "(r => [r.x + r.width / 2, r.y + r.height / 2])("+button+".getBoundingClientRect())")
	return v.goes(200, chromedp.Steps(chromedp.MouseClickXY(at[0], at[1]),
		chromedp.MouseClickXY(at[0], at[1], chromedp.ClickCount(2))))
}

func (m *mistakes) doubleClicks(t *testing.T) {
	const email = "double@example.org"
	v := m.browser(t, "a user with a double click")
	v.open("/register").paste("Name", "Dot", "Email address", email, "Password", password).clicksTwice("Register").
		at("/register/sent", "Check your email").sees(email)
	m.has(t, 1, withEmail, email)
	v.clicksTwice("Send it again").at("/register/sent", "Check your email")
	v.mail(email, confirmSubject).open(v.link()).clicksTwice("Confirm my address").
		at("/verify/done", "Your address is confirmed").sees(email + " is now your confirmed address.")
	v.open("/login").paste("Email address", email, "Password", password).clicksTwice("Sign in").at("/", "Hello, Dot")
	m.has(t, 1, "flowhook_sessions WHERE identity_id = (SELECT id FROM users WHERE email = $1)", email)
	v.open("/settings").paste("Name", "Dorothy").clicksTwice("Save name").at("/settings", "Settings").
		sees("Your name was saved.")
	v.paste("Current password", password, "New password", newPassword).clicksTwice("Change password").
		at("/settings", "Settings").sees("Your new password was saved.")
	v.paste("New email address", "dot@example.org", currentToChange, newPassword).clicksTwice("Change email").
		at("/settings/pending", "Check your new inbox")
	v.clicksTwice("Sign out").at("/", "Welcome to Accounts")
	v.signsIn(email, newPassword).open("/settings").paste("Current password to delete your account", newPassword).
		clicksTwice("Delete account").at("/settings/deleted", "Your account is deleted")
	m.has(t, 0, withEmail, email)
	m.has(t, 1, "audit WHERE point = 'registration/after/password'") // and no second attempt of anything
	m.has(t, 0, "audit WHERE outcome NOT IN ('ok', 'ok_address_change', 'requested')")
	m.has(t, 1, "audit WHERE point = 'settings/after/password'")
	m.has(t, 2, "audit WHERE point = 'settings/after/profile'")
}

// sameFormTwice sends each form from two tabs, as a browser without the script does after a double
// click or on a slow line.
func (m *mistakes) sameFormTwice(t *testing.T) {
	const email = "twice@example.org"
	v := m.browser(t, "a user with two tabs")
	tab := v.tab()
	both := func(with func(v *visitor)) {
		t.Helper()
		with(v)
		with(tab)
	}
	both(func(v *visitor) {
		v.open("/register").paste("Name", "Tam", "Email address", email, "Password", password)
	})
	both(func(v *visitor) { v.press("Register").at("/register/sent", "Check your email").sees(email) })
	m.has(t, 1, withEmail, email)
	v.mail(email, takenSubject)
	v.mail(email, confirmSubject)
	link := v.link()
	both(func(v *visitor) { v.open(link) })
	v.press("Confirm my address").at("/verify/done", "Your address is confirmed")
	tab.presses(410, "Confirm my address").at("/verify", "This link was already used").
		sees("If you just used it, it worked.").follow("Sign in").at("/login", "Sign in")

	both(func(v *visitor) { v.open("/login").paste("Email address", email, "Password", password) })
	both(func(v *visitor) { v.press("Sign in").at("/", "Hello, Tam") })
	both(func(v *visitor) { v.open("/settings").paste("Current password", password, "New password", newPassword) })
	both(func(v *visitor) {
		v.press("Change password").at("/settings", "Settings").sees("Your new password was saved.")
	})
	m.has(t, 1, "audit WHERE point = 'settings/after/password' AND user_id = (SELECT id FROM users WHERE email = $1)",
		email)
	both(func(v *visitor) { v.paste("Current password to delete your account", newPassword) })
	v.press("Delete account").at("/settings/deleted", "Your account is deleted")
	tab.press("Delete account").at("/login", "Sign in").sees("If you have just deleted your account, it is deleted.")
	m.has(t, 0, withEmail, email)
}

// twoTabs changes an account in two tabs that were open before the first change.
func (m *mistakes) twoTabs(t *testing.T) {
	const email, first, second = "tabs@example.org", "typo@example.org", "right@example.org"
	v := m.browser(t, "a user with two tabs").registers("Tabitha", email, password)
	tab := v.tab()
	v.open("/settings")
	tab.open("/settings")
	v.paste("Name", "One").press("Save name").sees("Your name was saved.")
	tab.paste("New email address", first, currentToChange, password).press("Change email").
		at("/settings/pending", "Check your new inbox").sees(first)
	m.has(t, 1, "users WHERE email = $1 AND name = 'One'", email)
	v.paste("New email address", second, currentToChange, password).press("Change email").
		at("/settings/pending", "Check your new inbox").sees(second)
	v.mail(second, newSubject)
	link := v.link()
	v.mail(first, newSubject)
	old := v.link()
	tab.open(old) // the button is on the page before the other link is used
	v.open(link).press("Change my address").at("/verify/done", "Your address is confirmed").sees(second)
	tab.presses(410, "Change my address").sees("The address of the account has changed since", second)
	tab.opens(410, old).sees("The address of the account has changed since", second)
	m.has(t, 1, withEmail, second)

	v.open("/settings").paste("Name", "Two")
	tab.open("/settings").press("Sign out").at("/", "Welcome to Accounts")
	v.press("Save name").at("/login", "Sign in").sees("You were signed out. Sign in to continue; we kept what you entered.")
	m.has(t, 1, "users WHERE email = $1 AND name = 'One'", second)
}

// anotherAccount sends the forms of an account while somebody else is signed in in the same browser.
func (m *mistakes) anotherAccount(t *testing.T) {
	const hers, his = "hers@example.org", "his@example.org"
	v := m.browser(t, "a user with two accounts").registers("His", his, password)
	v.press("Sign out").registers("Hers", hers, password)
	m.browser(t, "her other browser").signsIn(hers, password)
	forms := []struct {
		page, button string
		values       []string
		tab          *visitor
	}{
		{page: "/settings", button: "Save name", values: []string{"Name", "Changed"}},
		{page: "/settings", button: "Change email", values: []string{"New email address", "changed@example.org",
			currentToChange, password}},
		{page: "/settings", button: "Change password", values: []string{"Current password", password,
			"New password", newPassword}},
		{page: "/settings", button: "Delete account", values: []string{"Current password to delete your account", password}},
		{page: "/sessions", button: "Sign out everywhere"},
	}
	for i := range forms {
		forms[i].tab = v.tab().open(forms[i].page)
	}
	v.press("Sign out").signsIn(his, password).at("/", "Hello, His")
	for _, f := range forms {
		f.tab.paste(f.values...).presses(409, f.button).sees("You have changed accounts", "Nothing was changed.",
			"you are signed in as "+his+" now", "sign out and sign in")
	}
	v.open("/settings").at("/settings", "Settings") // still signed in
	m.has(t, 1, "users WHERE email = $1 AND name = 'Hers'", hers)
	m.has(t, 1, "users WHERE email = $1 AND name = 'His'", his)
	v.press("Sign out").signsIn(his, password).at("/", "Hello, His")
}

// endedSession sends a form after the session was ended, and after it has expired.
func (m *mistakes) endedSession(t *testing.T) {
	const email = "ended@example.org"
	v := m.browser(t, "a user whose session was ended").registers("Ende", email, password)
	for _, end := range []string{"DELETE FROM flowhook_sessions", "UPDATE flowhook_sessions SET expires_at = 1"} {
		v.open("/settings").paste("Name", "Lost")
		_, err := m.db.Exec(end+" WHERE identity_id = (SELECT id FROM users WHERE email = $1)", email)
		require.NoError(t, err)
		v.press("Save name").at("/login", "Sign in").sees("You were signed out. Sign in to continue; we kept what you entered.")
		m.has(t, 1, "users WHERE email = $1 AND name = 'Ende'", email)
		v.paste("Email address", email, "Password", password).press("Sign in").at("/settings", "Settings").
			sees("We kept what you typed. Nothing was saved yet.")
		require.Equal(t, "Lost", v.typed("Name"))
		m.has(t, 1, "users WHERE email = $1 AND name = 'Ende'", email)
		v.paste("Name", "Ende").press("Save name").sees("Your name was saved.")
	}
}

// back goes back in the history, to the page with a path. Chromium may show it without a request.
func (v *visitor) back(path string) *visitor {
	v.t.Helper()
	run(v, func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
		history, err := cdp.Call(ctx, t, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return none, err
		}
		to := history.Entries[history.CurrentIndex-1].ID
		_, err = cdp.Call(ctx, t, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: to})
		return none, err
	})
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	there := chromedp.Evaluate[bool]("document.readyState === 'complete' && location.pathname === " + quoted(path))
	for {
		if is, err := chromedp.Run(ctx, there); err == nil && is { // an error while the page changes
			return v
		}
		if ctx.Err() != nil {
			v.fatal("the back button does not lead to %s", path)
		}
	}
}

// backAndReload uses the back button and reloads answers to forms.
func (m *mistakes) backAndReload(t *testing.T) {
	const email = "back@example.org"
	v := m.browser(t, "a user with a back button")
	v.open("/register").paste("Name", "Bo", "Email address", email, "Password", "short").presses(422, "Register")
	v.goes(422, chromedp.Reload()).at("/register", "Register").sees("Use at least 8 characters.")
	require.Equal(t, []string{"Bo", email, ""}, []string{v.typed("Name"), v.typed("Email address"), v.typed("Password")})
	v.paste("Password", password).press("Register").at("/register/sent", "Check your email")
	v.goes(200, chromedp.Reload()).at("/register/sent", "Check your email").sees(email)
	m.has(t, 1, withEmail, email)
	v.follow("Change it").at("/register", "Register").sees("Correct your email address")
	require.Equal(t, []string{"Bo", email}, []string{v.typed("Name"), v.typed("Email address")})
	v.back("/register/sent").at("/register/sent", "Check your email").sees(email)

	v.open("/login").paste("Email address", email, "Password", password).press("Sign in").at("/", "Hello, Bo")
	v.back("/").at("/", "Hello, Bo") // not the form
	v.open("/settings").paste("Name", "Bob").press("Save name").at("/settings", "Settings").
		sees("Your name was saved.")
	v.goes(200, chromedp.Reload()).at("/settings", "Settings")
	v.open("/sessions").press("Sign out").at("/", "Welcome to Accounts")
	v.back("/login").at("/login", "Sign in")
	require.NotContains(t, js[string](v, "document.body.innerText"), email)
	m.has(t, 1, "users WHERE email = $1 AND name = 'Bob'", email)
}

// links opens links twice, in other browsers, and as parts.
func (m *mistakes) links(t *testing.T) {
	const email = "links@example.org"
	v, phone := m.browser(t, "a user at a computer"), m.browser(t, "a user with a phone")
	v.open("/register").paste("Name", "Lin", "Email address", email, "Password", password).press("Register")
	link := v.mail(email, confirmSubject).link()
	phone.opens(410, link[:len(link)-3]).at("/verify", "This link no longer works").sees("was not copied completely")
	phone.open(link[:strings.Index(link, "=")+1]).at("/verify", "Confirm your address").sees("copy all of it")
	phone.open(link).open(link+">).").press("Confirm my address").at("/verify/done", "Your address is confirmed").
		sees(email + " is now your confirmed address.")
	m.has(t, 1, "users WHERE email = $1 AND verified_at IS NOT NULL", email)
	v.opens(410, link).sees("This link works only once.").follow("Sign in").at("/login", "Sign in")
	v.signsIn(email, password).sees("Your email address is confirmed.")

	phone.open("/recovery").paste("Email address", email).press("Send the email").at("/recovery/sent", "Check your email")
	link = phone.mail(email, recoverySubject).link()
	other := m.browser(t, "a third browser")
	other.opens(410, link[:len(link)-3]).sees("was not copied completely").follow("Back to sign in").
		at("/login", "Sign in")
	other.open(link+"%20.").paste("New password", "a password that loses")
	phone.open(link).paste("New password", newPassword).press("Set the password").
		at("/recovery/done", "Your password is changed")
	other.presses(410, "Set the password").sees("This link works only once.", "you can sign in").follow("Sign in")
	v.open("/settings").at("/login", "Sign in").sees("your password or address changed")
	v.paste("Email address", email, "Password", newPassword).press("Sign in").at("/settings", "Settings")
}

// changedAddress opens links to an address that has changed since.
func (m *mistakes) changedAddress(t *testing.T) {
	const email, next = "before@example.org", "after@example.org"
	v := m.browser(t, "a user with a new address")
	v.open("/register").paste("Name", "Ada", "Email address", email, "Password", password).press("Register")
	confirm := v.mail(email, confirmSubject).link()
	v.open("/recovery").paste("Email address", email).press("Send the email")
	recovery := v.mail(email, recoverySubject).link()
	v.signsIn(email, password).open("/settings").paste("New email address", next, currentToChange, password).
		press("Change email").at("/settings/pending", "Check your new inbox")
	v.mail(next, newSubject).open(v.link()).press("Change my address").at("/verify/done", "Your address is confirmed")
	v.opens(410, confirm).sees("The address of the account has changed since",
		"The address of your account, "+next+", is confirmed.")
	v.opens(410, recovery).sees("The address of the account has changed since").follow("Request a new email").
		at("/recovery", "Reset your password")
	m.has(t, 1, "users WHERE email = $1 AND verified_at IS NOT NULL", next)
}

// noScript does everything in a browser that runs no scripts.
func (m *mistakes) noScript(t *testing.T) {
	const email = "noscript@example.org"
	v := m.browser(t, "a user without scripts")
	run(v, command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	v.registers("Noor", email, password).at("/", "Hello, Noor")
	require.Zero(t, v.open("/settings").count(".secret button"), "scripts run")
	v.paste("Current password", password, "New password", newPassword).press("Change password").
		sees("Your new password was saved.")
	require.Regexp(t, `^\w+ \d+, \d+, \d+:\d+ UTC$`, js[string](v.open("/sessions"), "document.querySelector('time').textContent"))
	v.press("Sign out").at("/", "Welcome to Accounts").signsIn(email, newPassword).at("/", "Hello, Noor")
}

// noCookies signs in with a browser that refuses all cookies.
func (m *mistakes) noCookies(t *testing.T) {
	const email = "nocookies@example.org"
	m.browser(t, "a user with cookies").registers("Nina", email, password)
	profile := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(profile, "Default"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(profile, "Default", "Preferences"),
		[]byte(`{"profile":{"default_content_setting_values":{"cookies":2}}}`), 0o600))
	v := newVisitor(t, m.path, "a user without cookies", m.service.url, m.chromium.report, chromedp.UserDataDir(profile))
	v.open("/login").paste("Email address", email, "Password", password).press("Sign in").at("/", "Welcome to Accounts").
		sees("your browser did not keep the cookie", "Allow cookies for this site, and sign in again.")
	v.open("/login?return_to=/settings").paste("Email address", email, "Password", password).press("Sign in").
		at("/login", "Sign in").sees("Allow cookies for this site, and sign in again.")
	v.open("/register").paste("Name", "Nora", "Email address", "nora@example.org", "Password", password).press("Register").
		at("/register/sent", "Check your email").sees("We sent a link.")
	m.has(t, 1, withEmail, "nora@example.org")
}

// noServer sends a form while the service is down, and again when it is up.
func (m *mistakes) noServer(t *testing.T) {
	const email = "offline@example.org"
	v := m.browser(t, "a user on a train")
	v.open("/register").paste("Name", "Otto", "Email address", email, "Password", password)
	m.service.stop()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, chromedp.Click(having("button", "Register"), chromedp.NodeVisible))
	var failed *chromedp.LoadError
	require.ErrorAs(t, err, &failed)
	m.service.start("AUTH_CONFIG", m.many)
	m.has(t, 0, withEmail, email)
	v.watch.all() // the failed request
	v.goes(200, chromedp.Reload()).at("/register/sent", "Check your email").sees(email)
	m.has(t, 1, withEmail, email)
}
