package letter_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/letter"
	"github.com/stretchr/testify/require"
)

const (
	base   = "https://auth.example/page"
	secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	link   = base + "?token=" + secret
	code   = "048213"
)

// withLink has the emails with a link. innocent is for readers who did not cause the email.
var withLink = []struct {
	name, subject, happened, instruction, button, innocent string
	write                                                  func(base, secret string, d time.Duration) letter.Letter
}{
	{"Verification", "Please confirm your address", "was entered for an account",
		"To confirm that the address is yours, open this link:", "Confirm address",
		"don't open the link", letter.Verification},
	{"Recovery", "Reset your password", "asked to reset the password of your account",
		"To choose a new password, open this link:", "Choose a new password",
		"your password stays the same", letter.Recovery},
	{"AddressChange", "Please confirm your new address", "was entered as the new address of an account",
		"To make it the address of your account, open this link:", "Use this address",
		"don't open the link", letter.AddressChange},
	{"AddressChangePending", "Request to change your email address", "asked to replace this email address",
		"and to sign out every device:", "Cancel the change",
		"open this link to cancel or undo the change", letter.AddressChangePending},
	{"AddressRemoved", "Your account's email addresses have changed", "of your account have changed",
		"and to sign out every device:", "Undo the change",
		"open this link to undo the change", letter.AddressRemoved},
}

// withCode has the emails with a code.
var withCode = []struct {
	name, subject, happened, instruction, innocent string
	write                                          func(code string, d time.Duration) letter.Letter
}{
	{"VerificationCode", "Your address confirmation code", "was entered for an account",
		"To confirm that the address is yours, enter this code on the page where you were asked for it:",
		"the address stays unconfirmed", letter.VerificationCode},
	{"RecoveryCode", "Your password reset code", "asked to reset the password of your account",
		"To choose a new password, enter this code on the page where you were asked for it:",
		"your password stays the same", letter.RecoveryCode},
}

// all returns one email of each function, and the AddressRemoved without a link.
func all() map[string]letter.Letter {
	letters := map[string]letter.Letter{
		"AddressRemoved without link":       letter.AddressRemoved(base, "", time.Hour),
		"AddressChangePending without link": letter.AddressChangePending(base, "", time.Hour),
	}
	for _, k := range withLink {
		letters[k.name] = k.write(base, secret, time.Hour)
	}
	for _, k := range withCode {
		letters[k.name] = k.write(code, time.Hour)
	}
	return letters
}

var (
	hrefs    = regexp.MustCompile(`href="([^"]*)"`)
	notShown = regexp.MustCompile(`(?s)<!--.*?-->|<head>.*</head>|<[^>]*>`)
	spaces   = regexp.MustCompile(`\s+`)
)

// shown returns what a reader sees of a document, with single spaces.
func shown(page string) string {
	return spaces.ReplaceAllString(html.UnescapeString(notShown.ReplaceAllString(page, " ")), " ")
}

func TestVerification(t *testing.T) { testLink(t, "Verification") }

func TestRecovery(t *testing.T) { testLink(t, "Recovery") }

func TestAddressChange(t *testing.T) { testLink(t, "AddressChange") }

func TestAddressChangePending(t *testing.T) {
	testLink(t, "AddressChangePending")
	testPlain(t, letter.AddressChangePending(base, "", time.Hour), "Request to change your email address")
}

func TestAddressRemoved(t *testing.T) {
	testLink(t, "AddressRemoved")

	testPlain(t, letter.AddressRemoved(base, "", time.Hour), "Your account's email addresses have changed")
}

// testPlain tests a letter without a link.
func testPlain(t *testing.T, l letter.Letter, subject string) {
	t.Run("link is optional", func(t *testing.T) {
		require.Equal(t, subject, l.Subject)
		require.Empty(t, l.Link)
		require.Empty(t, l.Button)
		require.Empty(t, l.Code)
		require.Contains(t, l.Text, "reset your password right away or, if you can't, contact the service.")
		for _, part := range []string{l.Text, l.HTML} {
			require.NotContains(t, part, "://")
			require.NotContains(t, part, "link")
			require.NotContains(t, part, "expires")
		}
		require.NotContains(t, l.HTML, "<a")
		require.NotContains(t, l.Text, "\n\n\n")
	})
}

func testLink(t *testing.T, name string) {
	for _, k := range withLink {
		if k.name != name {
			continue
		}
		l := k.write(base, secret, time.Hour)

		t.Run("text and HTML say the same", func(t *testing.T) {
			require.Equal(t, k.subject, l.Subject)
			require.Empty(t, l.Code)
			for _, part := range []string{l.Text, shown(l.HTML)} {
				for _, says := range []string{k.happened, k.instruction, k.innocent, "If this wasn't you, "} {
					require.Contains(t, part, says)
				}
				require.Contains(t, part, "The link can be used once and expires in one hour.")
			}
			require.Contains(t, l.HTML, "<title>"+html.EscapeString(k.subject)+"</title>")
			for paragraph := range strings.SplitSeq(strings.TrimSuffix(l.Text, "\n"), "\n\n") {
				require.Contains(t, shown(l.HTML), paragraph)
			}
		})

		t.Run("link is on its own line", func(t *testing.T) {
			require.Equal(t, link, l.Link)
			require.Equal(t, k.button, l.Button)
			require.Contains(t, l.Text, k.instruction+"\n\n"+link+"\n\nThe link can be used once")
			require.Equal(t, 1, strings.Count(l.Text, secret))
		})

		t.Run("link is on the button and below it", func(t *testing.T) {
			require.Equal(t, [][]string{{`href="` + link + `"`, link}, {`href="` + link + `"`, link}},
				hrefs.FindAllStringSubmatch(l.HTML, -1))
			require.Equal(t, 3, strings.Count(l.HTML, secret))
			require.Contains(t, shown(l.HTML), k.instruction+" "+k.button+" If the button doesn't work, "+
				"copy this URL into your browser: "+link+" The link can be used once")
		})

		t.Run("link keeps query and fragment", func(t *testing.T) {
			for base, want := range map[string]string{
				"https://a.example":                      "https://a.example?token=" + secret,
				"https://a.example/?":                    "https://a.example/?token=" + secret,
				"https://a.example/b?z=1&a=%zz":          "https://a.example/b?z=1&a=%zz&token=" + secret,
				"https://a.example/b?token=old&a&token=": "https://a.example/b?a&token=" + secret,
				"https://a.example/b?tokens=1&&a#c?d#e":  "https://a.example/b?tokens=1&a&token=" + secret + "#c?d#e",
				"https://a.example/b#":                   "https://a.example/b?token=" + secret + "#",
				"https://a.example?{a|b}^`\\#/r?100%{x}": "https://a.example?{a|b}^`\\&token=" + secret + "#/r?100%{x}",
			} {
				require.Equal(t, want, k.write(base, secret, time.Hour).Link)
			}
		})

		t.Run("hostile base is escaped", func(t *testing.T) {
			for _, base := range hostileBases {
				requireIntact(t, k.write, base, secret)
			}
		})
		return
	}
	require.Fail(t, "no such email", name)
}

func TestVerificationCode(t *testing.T) { testCode(t, "VerificationCode") }

func TestRecoveryCode(t *testing.T) { testCode(t, "RecoveryCode") }

func testCode(t *testing.T, name string) {
	for _, k := range withCode {
		if k.name != name {
			continue
		}
		l := k.write(code, time.Hour)

		t.Run("text and HTML say the same", func(t *testing.T) {
			require.Equal(t, k.subject, l.Subject)
			require.Empty(t, l.Link)
			for _, part := range []string{l.Text, shown(l.HTML)} {
				for _, says := range []string{k.happened, k.instruction, k.innocent, "If this wasn't you, "} {
					require.Contains(t, part, says)
				}
				require.Contains(t, part,
					"The code can be used once and expires in one hour. Don't share it with anyone.")
			}
			for paragraph := range strings.SplitSeq(strings.TrimSuffix(l.Text, "\n"), "\n\n") {
				require.Contains(t, shown(l.HTML), paragraph)
			}
		})

		t.Run("code is on its own line", func(t *testing.T) {
			require.Equal(t, code, l.Code)
			require.Contains(t, l.Text, k.instruction+"\n\n"+code+"\n\nThe code can be used once")
			require.Equal(t, 1, strings.Count(l.Text, code))
		})

		t.Run("code is in a box", func(t *testing.T) {
			require.Contains(t, l.HTML, ">"+code+"</td>")
			require.Equal(t, 1, strings.Count(l.HTML, code))
			require.Contains(t, shown(l.HTML), k.instruction+" "+code+" The code can be used once")
		})

		t.Run("code is not in the subject", func(t *testing.T) {
			require.NotRegexp(t, `\d`, l.Subject)
			require.NotContains(t, strings.Split(l.HTML, "<body")[0], code)
		})

		t.Run("code is not in a preview of 100 characters", func(t *testing.T) {
			for _, part := range []string{l.Text, strings.TrimSpace(shown(l.HTML))} {
				require.Greater(t, strings.Index(part, code), 100)
			}
		})

		t.Run("code is escaped", func(t *testing.T) {
			require.Contains(t, k.write(`<&"'>`, time.Hour).HTML, ">&lt;&amp;&#34;&#39;&gt;</td>")
		})
		return
	}
	require.Fail(t, "no such email", name)
}

func TestLetter(t *testing.T) {
	for name, l := range all() {
		t.Run(name, func(t *testing.T) {
			t.Run("has three parts", func(t *testing.T) {
				require.Regexp(t, `^[A-Z][A-Za-z' ]+$`, l.Subject)
				require.LessOrEqual(t, len(l.Subject), 50)
				require.Regexp(t, `^\S[^\x00-\x09\x0b-\x1f\x7f-\xff]*[^\s]\n$`, l.Text)
				require.True(t, strings.HasPrefix(l.HTML,
					"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"))
				require.True(t, strings.HasSuffix(l.HTML, "</html>\n"))
			})

			t.Run("names no address", func(t *testing.T) {
				require.NotContains(t, l.Subject+l.Text, "@")
				require.Equal(t, 1, strings.Count(l.HTML, "@")) // that of the media query
			})

			t.Run("lines are short", func(t *testing.T) {
				for line := range strings.Lines(l.Text + l.HTML) {
					require.Less(t, len(line), 300, line)
				}
			})

			t.Run("HTML loads and runs nothing", func(t *testing.T) {
				require.NotRegexp(t,
					`(?i)<(script|img|link|iframe|object|svg|form|base|meta http)|src=|url\(|@import|\son\w+=`, l.HTML)
			})

			t.Run("HTML has a layout for phones and dark mode", func(t *testing.T) {
				for _, has := range []string{
					`<meta name="viewport" content="width=device-width, initial-scale=1">`,
					`<meta name="color-scheme" content="light dark">`, "prefers-color-scheme: dark", "max-width:600px",
				} {
					require.Contains(t, l.HTML, has)
				}
				require.Equal(t, strings.Count(l.HTML, "<table"), strings.Count(l.HTML, `<table role="presentation"`))
			})

			t.Run("paragraphs are escaped", func(t *testing.T) {
				require.Contains(t, l.HTML, ">If this wasn&#39;t you, ")
			})

			t.Run("elements are closed in their order", func(t *testing.T) {
				requireNested(t, l.HTML)
			})

			t.Run("placeholders are replaced", func(t *testing.T) {
				require.NotRegexp(t, `\{\w+\}|%!`, l.HTML+l.Text)
			})
		})
	}
}

// requireNested requires that every element except the void ones is closed, inside its parent.
func requireNested(t *testing.T, page string) {
	var open []string
	for _, m := range regexp.MustCompile(`<(/?)([a-z]+[0-9]?)\b[^>]*>`).FindAllStringSubmatch(page, -1) {
		switch end, name := m[1] != "", m[2]; {
		case name == "meta":
		case !end:
			open = append(open, name)
		default:
			require.NotEmpty(t, open, name)
			require.Equal(t, open[len(open)-1], name)
			open = open[:len(open)-1]
		}
	}
	require.Empty(t, open)
}

func TestLetter_Lifespan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "one second", 2 * time.Second: "2 seconds", 90 * time.Second: "90 seconds",
		time.Minute: "one minute", 15 * time.Minute: "15 minutes", 90 * time.Minute: "90 minutes",
		time.Hour: "one hour", 48 * time.Hour: "48 hours", 1500 * time.Millisecond: "1.5s",
	} {
		for _, k := range withLink {
			l := k.write(base, secret, d)
			require.Contains(t, l.Text, " expires in "+want+".", k.name)
			require.Contains(t, shown(l.HTML), " expires in "+want+".", k.name)
		}
		for _, k := range withCode {
			l := k.write(code, d)
			require.Contains(t, l.Text, " expires in "+want+".", k.name)
			require.Contains(t, shown(l.HTML), " expires in "+want+".", k.name)
		}
	}
}

var hostileBases = []string{
	`https://a.example/b?q="><script>alert(1)</script>`,
	`https://a.example/b?q='"&amp;&lt;&#34;&copy=1&notit;`,
	"https://a.example/b?{a|b}^`\\#/r?100%{x}",
	`https://a.example/b?{url}{label}{body}{title}{code}%s%d{{.}}#{url}`,
	`https://a.example/b?q=<!--[if mso]>-->]]></a></style>#<a href="https://b.example">`,
	"https://a.example/b?" + strings.Repeat("x&", 500),
	"javascript:alert(1)//",
}

// requireIntact requires that the link is in the email byte for byte, and that nothing else depends
// on it.
func requireIntact(
	t testing.TB, write func(base, secret string, d time.Duration) letter.Letter, base, secret string,
) {
	l, model := write(base, secret, time.Hour), write("https://auth.example/", "model", time.Hour)
	escaped := html.EscapeString(l.Link)
	require.Equal(t, model.Subject, l.Subject)
	require.Equal(t, strings.ReplaceAll(model.Text, model.Link, "LINK"), strings.ReplaceAll(l.Text, l.Link, "LINK"))
	require.Equal(t, strings.ReplaceAll(model.HTML, model.Link, "LINK"), strings.ReplaceAll(l.HTML, escaped, "LINK"))
	found := hrefs.FindAllStringSubmatch(l.HTML, -1)
	require.Len(t, found, 2)
	for _, href := range found {
		require.Equal(t, l.Link, html.UnescapeString(href[1]))
	}
	require.Contains(t, l.HTML, "\n"+escaped+"\n")
	require.Contains(t, l.Text, "\n"+l.Link+"\n")
	for line := range strings.Lines(l.Text + l.HTML) {
		require.Less(t, len(strings.NewReplacer(escaped, "", l.Link, "").Replace(line)), 300, line)
	}
}

func FuzzLetter(f *testing.F) {
	for _, base := range hostileBases {
		f.Add(base, secret)
	}
	f.Fuzz(func(t *testing.T, base, secret string) {
		if secret == "" || strings.ContainsFunc(base+secret, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			return // URLs have neither control characters nor, once they are checked, other letters
		}
		for _, k := range withLink {
			requireIntact(t, k.write, base, secret)
		}
	})
}
