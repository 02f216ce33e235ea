package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// byID returns the element with an ID.
func (b *browser) byID(id string) *html.Node {
	b.t.Helper()
	for _, n := range b.all("") {
		if attribute(n, "id") == id {
			return n
		}
	}
	require.FailNow(b.t, "no element has the ID "+id, b.Body)
	return nil
}

// focused returns the name of the field that has the focus when the page opens, or "".
func (b *browser) focused() (name string) {
	for _, n := range b.all("input") {
		for _, a := range n.Attr {
			if a.Key == "autofocus" {
				require.Empty(b.t, name, "two fields have the focus")
				name = attribute(n, "name")
			}
		}
	}
	return name
}

// typed returns the value of a field.
func (b *browser) typed(name string) string {
	b.t.Helper()
	for _, n := range b.all("input") {
		if attribute(n, "name") == name {
			return attribute(n, "value")
		}
	}
	require.FailNow(b.t, "no field "+name)
	return ""
}

// TestBrand checks that the name, the logo and the color of the environment are on the pages and in
// the emails, and that the color can be read.
func TestBrand(t *testing.T) {
	logo := filepath.Join(t.TempDir(), "logo.png")
	require.NoError(t, os.WriteFile(logo, []byte("\x89PNG"), 0o600))
	for _, accent := range []string{"#ffee00", "#000000", "#ffffff", "#00aa55", "#4f46e5"} {
		s := newSite(t, "sqlite:"+t.TempDir()+"/db", "BRAND_NAME", "Wonderland & Co.", "BRAND_LOGO", logo, "BRAND_ACCENT", accent)
		b := s.browser().open("/login").at("/login", "Sign in")
		require.Equal(t, "Sign in · Wonderland & Co.", text(b.all("title")[0]))
		require.Equal(t, "Wonderland & Co.", text(within(b.all("header")[0], "a")[0]))
		style := ""
		for _, n := range b.all("link") {
			if attribute(n, "rel") == "stylesheet" {
				style = attribute(n, "href")
			}
		}
		b.open(attribute(b.all("img")[0], "src"))
		require.Equal(t, "image/png", b.Header.Get("Content-Type"))
		require.Equal(t, "\x89PNG", b.Body)

		b.open(style)
		rules := regexp.MustCompile(`--main: (#\w+); --main-strong: (#\w+); --on-main: (#\w+);`).FindAllStringSubmatch(b.Body, -1)
		require.Len(t, rules, 2, "light and dark")
		for i, cards := range [][]string{{"#ffffff", "#f6f7f9"}, {"#171a21", "#0d0f13", "#20242d"}} {
			main, strong, on := mustColor(t, rules[i][1]), mustColor(t, rules[i][2]), mustColor(t, rules[i][3])
			require.GreaterOrEqual(t, on.contrast(main), 4.5, accent)
			require.GreaterOrEqual(t, on.contrast(strong), 4.5, accent)
			for _, card := range cards {
				require.Contains(t, b.Body, card+";")
				require.GreaterOrEqual(t, main.contrast(mustColor(t, card)), 4.5, "%s on %s", accent, card)
				require.GreaterOrEqual(t, strong.contrast(mustColor(t, card)), 4.5, "%s on %s", accent, card)
			}
		}
	}
	require.InDelta(t, 21, white.contrast(black), 0.01)
	require.InDelta(t, 4.54, white.contrast(color{0x76, 0x76, 0x76}), 0.01) // from WCAG's examples
}

func mustColor(t *testing.T, s string) color {
	t.Helper()
	if s == "#fff" {
		s = "#ffffff"
	}
	c, ok := parseColor(s)
	require.True(t, ok, s)
	return c
}

// TestHeader_SignedInAs checks that the header says who is signed in.
func TestHeader_SignedInAs(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	for _, path := range []string{"/", "/settings", "/sessions", "/nowhere", "/maintenance"} {
		header := s.signedIn(email, password).open(path).all("header")[0]
		require.Contains(t, text(header), "Signed in as "+email, path)
		require.Equal(t, email, attribute(within(header, "strong")[0], "title"), "a phone may cut it off")
		require.NotContains(t, s.browser().open(path).Body, "Signed in as", path)
	}
}

// TestForm_Errors checks that the summary links to several wrong fields, and that the first of them has
// the focus and is described by its error.
func TestForm_Errors(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser().open("/register").press("Register", "name", "Alice", "email", "alice", "password", "short").
		refused(http.StatusUnprocessableEntity, "Please correct these fields: Email address, Password.")
	require.Equal(t, "email", b.focused())
	require.Equal(t, "Alice", b.typed("name"))
	require.Equal(t, "alice", b.typed("email"))
	var linked []string
	for _, n := range b.all("a") {
		if id, ok := strings.CutPrefix(attribute(n, "href"), "#register"); ok {
			field := b.byID("register" + id)
			require.Equal(t, "true", attribute(field, "aria-invalid"))
			described := strings.Fields(attribute(field, "aria-describedby"))
			require.NotEmpty(t, text(b.byID(described[0])))
			linked = append(linked, attribute(field, "name"))
		}
	}
	require.Equal(t, []string{"email", "password"}, linked)

	b.press("Register", "email", email, "password", "short")
	require.Equal(t, "Error: Register · Accounts", text(b.all("title")[0]))
	require.NotContains(t, b.Body, `role="alert"`, "the error is at the field, which has the focus")
	require.Equal(t, "password", b.focused())
	short := b.byID("register-password")
	require.Equal(t, "true", attribute(short, "aria-invalid"))
	require.Equal(t, "Use at least 8 characters.", text(b.byID(attribute(short, "aria-describedby"))))
	require.NotContains(t, b.Body, "At least 8 characters.", "the error is shown instead of the hint")

	b.open("/login").press("Sign in", "email", email, "password", "wrong").refused(wrong, "Wrong email address or password.")
	require.Equal(t, "password", b.focused())
	require.Equal(t, email, b.typed("email"))
	field := b.byID("login-password")
	require.Equal(t, "true", attribute(field, "aria-invalid"))
	require.Equal(t, "Wrong email address or password.", text(b.byID(attribute(field, "aria-describedby"))))
	require.Empty(t, s.browser().open("/login").focused(), "without an error")
}

// TestForm_KeptWhenThrottled checks that a form that rate_limit refuses is shown again, with what was
// typed except passwords.
func TestForm_KeptWhenThrottled(t *testing.T) {
	s := newGuarded(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	b := s.from("192.0.2.1")
	b.tries(email, password)
	const later = "There were too many attempts. Please try again in"
	throttled := func(times int, heading string, try func(to string)) {
		t.Helper()
		for range times {
			try("kept@example.org")
		}
		try("kept@example.org")
		require.Equal(t, tooMany, b.Status, b.Body)
		require.Contains(t, text(b.doc), later)
		require.Equal(t, heading, text(b.all("h1")[0]))
		require.NotContains(t, b.Body, `value="`+password)
		require.Equal(t, "kept@example.org", b.typed("email"))
		require.NotEmpty(t, b.Header.Get("Retry-After"))
		require.Empty(t, b.Header.Values("Set-Cookie"))
	}
	throttled(5, "Settings", func(to string) {
		b.post("/settings/email", url.Values{"email": {to}, "current": {"wrong"}})
	})
	b.press("Sign out")
	throttled(5, "Sign in", func(to string) { b.tries(to, "wrong") })
	throttled(20, "Register", func(to string) {
		b.post("/register", url.Values{"name": {"Alice"}, "email": {to}, "password": {password}})
	})
	require.Equal(t, "Alice", b.typed("name"))
	s.ahead.Add(int64(time.Hour))
	throttled(20, "Register", func(to string) { b.post("/register/again", url.Values{"email": {to}}) })
	throttled(10, "Reset your password", func(to string) { b.post("/recovery", url.Values{"email": {to}}) })
}

// TestCrossOrigin_KeepsTheForm checks that a form that seems to come from another site is shown
// again, so that the user can send it.
func TestCrossOrigin_KeepsTheForm(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	b := s.browser()
	post := func(path string) {
		r, err := http.NewRequest("POST", s.server.URL+path, strings.NewReader(url.Values{"email": {email}, "name": {"Alice"},
			"password": {password}, "token": {"their-token"}, "code": {"123456"}}.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://elsewhere.example")
		response, err := b.client.Do(r)
		require.NoError(t, err)
		b.read(response)
		b.refused(http.StatusForbidden, "sent from another website")
	}
	for _, path := range []string{"/recovery/new", "/recovery/code", "/verify", "/settings/email"} {
		post(path)
		require.NotContains(t, b.Body, "their-token")
		require.NotContains(t, b.Body, email, "%s: the other site may have chosen it", path)
	}
	for path, button := range map[string]string{"/login": "Sign in", "/register": "Register", "/recovery": "Send the email"} {
		post(path)
		require.Equal(t, email, b.typed("email"))
		require.NotContains(t, b.Body, password)
		b.press(button)
		require.NotContains(t, b.Body, "another site")
	}
}

// TestRegistration_WrongAddress checks that the page after a registration names the address, sends
// the email again, and leads back to the form.
func TestRegistration_WrongAddress(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		b := s.browser().open("/register").press("Register", "name", "Alice", "email", "alcie@example.org", "password", password).
			at("/register/sent", "Check your email").refused(http.StatusOK, "We sent a link to alcie@example.org.")
		s.mail("alcie@example.org", confirmSubject, 0)
		s.ahead.Add(int64(time.Minute))
		b.press("Send it again").at("/register/sent", "Check your email").refused(http.StatusOK, "We'll send it again.")
		s.mail("alcie@example.org", confirmSubject, 1)
		b.press("Send it again")
		s.service.recoveries.Wait()
		require.Equal(t, 2, s.count("river_job"), "at most one email per minute")

		b.follow("Change it").at("/register", "Register")
		require.Equal(t, "Alice", b.typed("name"))
		require.Equal(t, "alcie@example.org", b.typed("email"))
		b.press("Register", "email", email, "password", password).refused(http.StatusOK, "We sent a link to "+email)
		s.mail(email, confirmSubject, 0)
		s.browser().open("/register?change").refused(http.StatusOK, "Already have an account?")
	})
}

// TestRegistration_SentAgain checks that sending the email again reveals no account: the answers are
// the same, and the owner of a confirmed one is told.
func TestRegistration_SentAgain(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	var bodies []string
	for _, to := range []string{email, "nobody@example.org"} {
		b := s.browser().post("/register/again", url.Values{"email": {to}}).at("/register/sent", "Check your email")
		bodies = append(bodies, strings.ReplaceAll(b.Body, to, "ADDRESS"))
	}
	require.Equal(t, bodies[0], bodies[1])
	s.mail(email, takenSubject, 0)
	s.service.recoveries.Wait()
	require.Equal(t, 2, s.count("river_job"), "none for an address without an account")
	s.browser().post("/register/again", url.Values{"email": {"nonsense"}}).refused(wrong, "Enter an email address")
}

// TestVerify_OtherAccount checks that somebody who is signed in and opens a link of another account
// sees both addresses.
func TestVerify_OtherAccount(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		s.browser().open("/register").press("Register", "name", "Bob", "email", "bob@example.org", "password", password)
		link := s.mail("bob@example.org", confirmSubject, 0).Links[0]
		s.browser().open(link).refused(http.StatusOK, "confirm that bob@example.org is your email address")
		alice := s.signedIn(email, password).open(link).
			refused(http.StatusOK, "You are signed in as "+email+", but this link belongs to another account")
		alice.press("Confirm my address").at("/verify/done", "Your address is confirmed").
			refused(http.StatusOK, "bob@example.org is confirmed. That is the address of another account. You are still "+
				"signed in as "+email)
		require.Equal(t, 1, s.count("users WHERE email = 'bob@example.org' AND verified_at IS NOT NULL"))

		b := s.signedIn(email, password)
		link = s.change(b, newEmail)
		stranger := s.browser().open(link).refused(http.StatusOK, "is your email address. It replaces a…@example.org.")
		require.NotContains(t, stranger.Body, email, "the owner of the new mailbox may be a stranger")
		b.open(link).refused(http.StatusOK, "confirm that "+newEmail+" is your email address. It replaces "+email)
		require.NotContains(t, b.Body, "another account")
	})
}

// TestSessions_Ended checks that the page says, once, that a session was ended.
func TestSessions_Ended(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	s.register(email, password)
	old, b := s.signedIn(email, password), s.signedIn(email, password)
	handle := attribute(within(b.open("/sessions").all("li")[1], "input")[0], "value")
	const notice = "That browser was signed out."
	b.post("/sessions/end", url.Values{"session": {handle}}).at("/sessions", "Your sessions").refused(http.StatusOK, notice)
	require.NotContains(t, b.open("/sessions").Body, notice)
	old.open("/settings").at("/login", "Sign in")
	b.post("/sessions/end", url.Values{"session": {handle}}).at("/sessions", "Your sessions")
	require.NotContains(t, b.Body, notice, "it had ended before")
}
