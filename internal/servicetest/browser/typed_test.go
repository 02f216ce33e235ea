package browser_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// decomposed has letters and accents apart, as some programs on macOS do.
const decomposed = "Zoe\u0308 Gru\u0308n"

// names saves names in many scripts and lengths.
func (m *mistakes) names(t *testing.T) {
	const email = "names@example.org"
	v := m.browser(t, "a user with names").registers("Nadja", email, password)
	for _, c := range []struct{ typed, saved, direction string }{
		{"  Ana   María \u00a0", "Ana María", "ltr"},
		{decomposed, "Zoë Grün", "ltr"},
		{"\u200fשרה לוי!", "שרה לוי!", "rtl"},
		{"مريم نور", "مريم نور", "rtl"},
		{"王小明", "王小明", "ltr"},
		{"Ngọc 👩‍👩‍👧‍👦 🏳️‍🌈", "Ngọc 👩‍👩‍👧‍👦 🏳️‍🌈", "ltr"},
		{"<b>O'Brien</b> & \"Söhne\"", "<b>O'Brien</b> & \"Söhne\"", "ltr"},
		{strings.Repeat("𠮷", 100), strings.Repeat("𠮷", 100), "ltr"}, // each counts as two in a browser
		{strings.Repeat("Wolfeschlegelstein", 6)[:100], strings.Repeat("Wolfeschlegelstein", 6)[:100], "ltr"},
	} {
		v.open("/settings").paste("Name", c.typed).press("Save name").at("/settings", "Settings").
			sees("Your name was saved.")
		m.has(t, 1, "users WHERE email = $1 AND name = $2", email, c.saved)
		require.Equal(t, c.saved, v.typed("Name"))
		require.Equal(t, c.direction, js[string](v, "getComputedStyle(document.querySelector('[name=name]')).direction"))
		v.open("/").at("/", "Hello, "+c.saved)
		require.Equal(t, c.direction, js[string](v, "getComputedStyle(document.querySelector('h1 bdi')).direction"))
		v.view(phone)
		v.check("the name "+c.saved, "layout")
		v.view(desktop)
	}
	for _, c := range []struct{ typed, want string }{
		{strings.Repeat("𠮷", 101), "Use at most 100 characters."},
		{"\u200b\u200e  ", "Enter your name."},
	} {
		v.open("/settings").paste("Name", c.typed).presses(422, "Save name").at("/settings/profile", "Settings").
			sees(c.want)
		require.Equal(t, c.typed, v.typed("Name"))
	}
	m.has(t, 1, "users WHERE email = $1 AND name LIKE 'Wolfe%'", email)
}

// addresses registers with unusual addresses, and signs in with another spelling of them.
func (m *mistakes) addresses(t *testing.T) {
	v := m.browser(t, "a user with addresses")
	for _, c := range []struct{ typed, saved, again string }{
		{"  Carol.Smith+News@Example.ORG ", "Carol.Smith+News@example.org", "carol.smith+news@EXAMPLE.org"},
		{"dave@bücher.example", "dave@xn--bcher-kva.example", "DAVE@BÜCHER.example"},
		{strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + ".example", strings.Repeat("a", 64) + "@" +
			strings.Repeat("b", 63) + ".example", strings.Repeat("A", 64) + "@" + strings.Repeat("B", 63) + ".example"},
	} {
		v.open("/register").paste("Name", "Ali", "Password", password, "Email address", c.typed).press("Register").
			at("/register/sent", "Check your email").sees(c.saved)
		m.has(t, 1, withEmail, c.saved)
		v.mail(c.saved, confirmSubject)
		v.open("/login").paste("Password", password, "Email address", c.again).press("Sign in").at("/", "Hello, Ali").
			sees(c.saved)
		v.view(phone)
		v.check("the address "+c.saved, "layout")
		v.view(desktop)
		v.press("Sign out")
	}
	for typed, want := range map[string]string{
		"josé@example.org":                        "Use an address without accents",
		strings.Repeat("a", 250) + "@example.org": "This address is too long.",
		"alice@example@org":                       "Enter an email address, such as name@example.org.",
	} {
		v.open("/register").paste("Name", "Ali", "Password", password, "Email address", typed).presses(422, "Register").
			at("/register", "Register").sees(want)
		require.Equal(t, []string{"Ali", typed, ""},
			[]string{v.typed("Name"), v.typed("Email address"), v.typed("Password")})
	}
}

// passwords chooses unusual passwords, and types them as another computer would.
func (m *mistakes) passwords(t *testing.T) {
	const email = "passwords@example.org"
	v := m.browser(t, "a user with passwords").registers("Pam", email, password)
	current := password
	for _, c := range []struct{ chosen, again, wrong string }{
		{"  spaces at both ends  ", "  spaces at both ends  ", "spaces at both ends"},
		{"Zoë Grün 🔐 пароль", decomposed + " 🔐 пароль", "Zoe Grun 🔐 пароль"},
		{strings.Repeat("한", 128), strings.Repeat("\u1112\u1161\u11ab", 128), strings.Repeat("한", 127)},
	} {
		v.open("/settings").paste("Current password", current, "New password", c.chosen).press("Change password").
			sees("Your new password was saved.")
		v.press("Sign out").open("/login").paste("Email address", email, "Password", c.wrong).presses(422, "Sign in").
			sees("Wrong email address or password.")
		require.Equal(t, []string{email, ""}, []string{v.typed("Email address"), v.typed("Password")})
		v.paste("Password", c.again).press("Sign in").at("/", "Hello, Pam")
		current = c.again
	}
	for chosen, want := range map[string]string{
		strings.Repeat("한", 129):     "Use at most 128 characters.",
		strings.Repeat("x", 10_000):  "Use at most 128 characters.",
		strings.Repeat("e\u0301", 4): "Use at least 8 characters.",
	} {
		v.open("/settings").paste("Current password", current, "New password", chosen).presses(422, "Change password").
			sees(want)
	}
	v.press("Sign out").open("/login").paste("Email address", email, "Password", current).press("Sign in").
		at("/", "Hello, Pam")
}
