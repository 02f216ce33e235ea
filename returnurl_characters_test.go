package flowhook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// charactersYAML has, in every URL that the file configures, what a browser keeps in a query and in
// a fragment.
const charactersYAML = `
selfservice:
  default_browser_return_url: "https://www.example.org/home?q={a|b}^` + "`" + `\\#/r?100%{x}"
  allowed_return_urls: [https://www.example.org/app, /app]
  flows:
    login: {after: {hooks: [{hook: verify}, {hook: redirect, config: {to: "/done?q={a|b}^` + "`" + `\\#/r?100%{x}"}}]}}
    verification: {ui_url: "https://www.example.org/confirm?q={a|b}^` + "`" + `\\#/r?100%{x}"}
`

const kept = "?q={a|b}^`\\#/r?100%{x}"

// URLs with characters that a browser keeps in a query or a fragment are used as they are
// configured.
func TestConfiguredURLs(t *testing.T) {
	d := flowtest.NewSessionTest(t, charactersYAML, func(d *flowtest.SessionTest) { d.Options.VerificationURL = "" })
	require.NotContains(t, d.Log.String(), "URL", "a finding")

	to, err := d.Pipeline.ReturnURL(flowtest.NewRequest(), flowhook.Login, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, "https://www.example.org/home"+kept, to)

	v := flowtest.NewVisitor("alice")
	v.Identity.Addresses = []flowhook.Address{{Via: "email", Value: "alice@example.org"}}
	answered, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login, flowhook.Password,
		func(context.Context) error { return nil })
	require.NoError(t, err)
	require.True(t, answered)
	require.Equal(t, "/done"+kept, v.Recorder.Header().Get("Location"))

	mails := d.Mail.Take()
	require.Len(t, mails, 1)
	before, after, found := strings.Cut(mails[0].Link, "&token=")
	require.True(t, found, mails[0].Link)
	require.Equal(t, "https://www.example.org/confirm?q={a|b}^`\\", before)
	require.Regexp(t, `^[\w-]{22,}#/r\?100%\{x\}$`, after)
}

// What a handler passes to http.Redirect leads where ReturnURL says, for return URLs that browsers
// produce.
func TestReturnURL(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, charactersYAML), flowtest.AnyOptions())
	require.NoError(t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := p.ReturnURL(r, flowhook.Login, flowhook.Password)
		if err != nil {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	}))
	defer srv.Close()
	for _, row := range []struct {
		name, to string
		allowed  bool
	}{
		{"bar in the query", "https://www.example.org/app/route/?param=https://sub.example.org/x|12345", true},
		{"braces in the query", "https://www.example.org/app?q={x}", true},
		{"caret in the query", "/app?q=^", true},
		{"backtick in the query", "/app?q=`", true},
		{"backslash in the query", `/app?q=\\evil.example\..`, true},
		{"second question mark", "/app?a?b", true},
		{"percent sign in the query", "/app?100%", true},
		{"encoded line end in the query", "/app?a=%0D%0Ab", true},
		{"braces in the fragment", "/app#/r?x={a|b}", true},
		{"percent sign in the fragment", "/app#100%", true},
		{"dot segments in the fragment", "https://www.example.org/app#/../..", true},
		{"dot segments in the fragment of a path", "/app#/../admin", false},
		{"backtick in the fragment", "/app#`", false},
		{"brace in the path", "/app/{x}?q={x}", false},
		{"backslash in the path", `/app/\x?q`, false},
		{"space in the query", "/app?a b", false},
		{"line end in the query", "/app?a\r\nb", false},
		{"letter beyond ASCII in the query", "/app?é", false},
	} {
		t.Run(strings.ReplaceAll(row.name, " ", "_"), func(t *testing.T) {
			r := httptest.NewRequest("GET", srv.URL+"/?return_to="+url.QueryEscape(row.to), nil)
			res, err := srv.Client().Transport.RoundTrip(r) // Client parses every Location, by net/url
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			if !row.allowed {
				require.Equal(t, http.StatusBadRequest, res.StatusCode)
				return
			}
			require.Equal(t, row.to, res.Header.Get("Location"))
		})
	}
}
