package main

import (
	"context"
	"html"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/examples/dev/inbox"
	"github.com/stretchr/testify/require"
)

var tags = regexp.MustCompile(`(?s)<head>.*</head>|<[^>]*>`)

// branded checks that an email has the design of the service, and that its HTML says what its text
// says, in the same order.
func (s *site) branded(e inbox.Email) {
	s.t.Helper()
	require.True(s.t, strings.HasSuffix(e.Text, "\n\nThis email is about an account at Wonderland & Co.\n"), e.Text)
	require.Contains(s.t, e.HTML, `font-weight:bold;">Wonderland &amp; Co.</p>`)
	require.NotContains(s.t, e.HTML, "#1d4ed8", "the blue of flowhook's own template")
	require.NotContains(s.t, e.HTML, "ZgotmplZ", "a value that html/template rejects")
	shown := strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(e.HTML, " "))), " ")
	for paragraph := range strings.SplitSeq(strings.TrimSpace(e.Text), "\n\n") {
		label, link, labeled := strings.Cut(paragraph, ":\n")
		if labeled {
			paragraph = link
			require.Contains(s.t, e.HTML, ">"+label+"</a>")
		}
		_, rest, found := strings.Cut(shown, strings.Join(strings.Fields(paragraph), " "))
		require.True(s.t, found, "%q is not in order in %q", paragraph, shown)
		shown = rest
	}
	for _, link := range e.Links {
		require.Contains(s.t, e.HTML, `>`+html.EscapeString(link)+"</a>")
	}
}

func TestEmails(t *testing.T) {
	const brand = "Wonderland & Co."
	t.Run("with links are branded", func(t *testing.T) {
		onEach(t, func(t *testing.T, database string) {
			s := newSite(t, database, "BRAND_NAME", brand, "BRAND_ACCENT", "#0f766e")
			button := func(label string, e inbox.Email) {
				t.Helper()
				s.branded(e)
				require.Regexp(t, `background-color:#0f766e;[^>]*>`+label+"</a>", e.HTML)
			}
			s.register(email, password)
			button("Confirm address", s.mail(email, confirmSubject, 0))
			s.signedIn(email, password)
			b := s.signedIn(email, password) // another browser
			button("Review your sessions", s.mail(email, deviceSubject, 0))
			s.change(b, newEmail)
			button("Use this address", s.mail(newEmail, newSubject, 0))
			button("Cancel the change", s.mail(email, changeSubject, 0))
			s.browser().askRecovery(email)
			button("Choose a new password", s.mail(email, recoverySubject, 0))
			b.open("/settings").press("Delete account", "current", password)
			e := s.mail(email, "Your account was deleted", 0)
			s.branded(e)
			require.Equal(t, []string{s.server.URL + "/register"}, e.Links)
			require.NotContains(t, e.HTML, "#0f766e", "a button")
		})
	})
	t.Run("with codes are branded", func(t *testing.T) {
		s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "BRAND_NAME", brand, "AUTH_CONFIG", withCodes(t))
		b := s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", password)
		confirm := s.mail(email, "Your address confirmation code", 0)
		b.askRecovery(email)
		for _, e := range []inbox.Email{confirm, s.mail(email, codeSubject, 0)} {
			s.branded(e)
			require.Regexp(t, `class="code"[^>]*>\d{6}</td>`, e.HTML)
		}
	})
	t.Run("without a link are branded", func(t *testing.T) {
		s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "BRAND_NAME", brand)
		var sent flowhook.Message
		s.service.courier = courier(func(_ context.Context, m flowhook.Message) error { sent = m; return nil })
		require.NoError(t, brandedCourier{s.service}.Send(t.Context(), flowhook.Message{To: email, Subject: "Hello",
			Text: "One.\n\nTwo.\n", HTML: "flowhook's"}))
		s.branded(inbox.Email{Text: sent.Text, HTML: sent.HTML})
		require.Equal(t, email, sent.To)
		require.NotContains(t, sent.HTML, "<a")
		require.NotContains(t, sent.HTML, "flowhook's")
	})
}
