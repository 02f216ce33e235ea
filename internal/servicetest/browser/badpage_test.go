package browser_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/internal/testkit/pagecheck"
	"github.com/stretchr/testify/require"
)

// goodPage passes all checks.
var goodPage = `<!DOCTYPE html>
<html lang="en"><head><title>Good</title><meta name="viewport" content="width=device-width">` +
	`<link rel="icon" href="data:,">` +
	css("body { background: white; color: black; font: 16px sans-serif } input, button { font-size: 16px; height: "+
		"40px; border: 1px solid black; box-sizing: border-box } "+
		"input { width: 160px } p { margin: 16px 0 } :focus-visible { outline: 3px solid blue }") + `</head>
<body><main><h1>Good</h1>
<form><p><label for="who">Name</label></p><p><input id="who" name="who" autocomplete="name"></p>
<p><button>Send</button></p></form>
</main></body></html>`

func css(rules string) string { return "<style>" + rules + "</style>" }

// A badPage is goodPage with one part replaced.
type badPage struct{ wrong, old, by string }

func styled(wrong, rules string) badPage { return badPage{wrong, "</head>", css(rules) + "</head>"} }

func with(wrong, element string) badPage { return badPage{wrong, "</main>", element + "</main>"} }

// byPage are pages that page.js reports, at least one for each of its checks.
var byPage = []badPage{
	{"no language", ` lang="en"`, ""},
	{"quirks mode", "<!DOCTYPE html>", ""},
	{"no title", "<title>Good</title>", ""},
	{"there must be one main", "</body>", "<main>Another</main></body>"},
	with("a script or a style in the page", "<script></script>"),
	with("there must be one h1", "<h1>Another</h1>"),
	with("an empty h2", "<h2></h2>"),
	with(`the headings skip a level at <h3> "Deep"`, "<h3>Deep</h3>"),
	with("two elements have the id who", `<p id="who">Another</p>`),
	{"refers to nothing, which is not there", "autocomplete=", `aria-describedby="nothing" autocomplete=`},
	{"<input name=who> \"\" has no visible label", `<label for="who">Name</label>`, "Name"},
	{"has no autocomplete", ` autocomplete="name"`, ""},
	{"is invalid, and nothing says why", "autocomplete=", `aria-invalid="true" autocomplete=`},
	with("has no alt", `<img src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">`),
	{`<button> "" has no text`, "Send", ""},
	{"changes the order of the tabs", "<button>", `<button tabindex="1">`},

	styled("the page is 2", "main { width: 2000px }"),
	styled("reaches beyond the page", "h1 { position: relative; left: -50px }"),
	styled(`<h1> "Good" is cut off`, "h1 { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; width: 10px }"),
	styled("is a target of ", "button { height: 20px }"),
	styled(`is covered by <form>`, "form { position: relative } form::after { content: ''; position: absolute; "+
		"inset: 0 }"),
	styled("a phone zooms in", "input { font-size: 15px }"),

	styled(`the text of <h1> "Good" has a contrast of 1.82`, "h1 { color: silver }"),
	styled("the edge of <input", "input { border-color: silver }"),
	styled("the edge of <button", "button { border-color: silver }"),

	styled("one does not see that <button", ":focus-visible { outline: none }"),
	styled("the focus of <button", ":focus-visible { outline-color: silver }"),
	styled(`<button> "Send" has the focus out of sight`, "button { position: fixed; left: -500px }"),
}

// byBrowser are pages that the browser reports.
var byBrowser = []badPage{
	{"a button has no accessible name", "Send", ""},
	{"the accessibility tree has 1 controls, the page 2", "<button>", `<button aria-hidden="true">`},
	{"issue: GenericIssue", `for="who"`, `for="nothing"`},
	{"the Tab key leads to control ", "<button>", `<button tabindex="-1">`},
	with("the page has written to the console: error", "<script>console.error('on purpose')</script>"),
	with("exception: Uncaught", "<script>throw new Error('on purpose')</script>"),
	with("a request has failed: Image, status 404", `<img alt="" src="/missing">`),
	with("console, error: Failed to load resource", `<img alt="" src="/missing">`),
	{"issue: ContentSecurityPolicyIssue", "</title>",
		`</title><meta http-equiv="Content-Security-Policy" content="script-src 'none'"><script>on.purpose()</script>`},
}

// TestBadPages tests the checks themselves: each reports its bad page, and none reports goodPage.
func TestBadPages(t *testing.T) {
	checks := strings.Count(pagecheck.JS, "r.check(") - 1 + strings.Count(pagecheck.JS, "atLeast(r,") // without the one in atLeast
	require.Len(t, byPage, checks, "page.js has %d checks; each needs a bad page here", checks)
	pages := append([]badPage{{"", "", ""}}, append(byPage, byBrowser...)...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, strings.Replace(goodPage, pages[i].old, pages[i].by, 1))
	}))
	defer server.Close()
	v := newVisitor(t, testkit.Chromium(t), "nobody", server.URL, newReport())
	for i, page := range pages {
		require.Contains(t, goodPage, page.old)
		v.t = t
		v.open(fmt.Sprint("/", i))
		reported := reports(v, func() { v.inspect("page") })
		if i == 0 {
			require.Empty(t, reported, "the good page must pass")
			continue
		}
		if !strings.Contains(strings.Join(reported, "\n"), page.wrong) {
			t.Errorf("with %q for %q no check reports %q, only:\n%s", page.by, page.old, page.wrong,
				strings.Join(reported, "\n"))
		}
	}
	if !t.Failed() {
		t.Logf("%d bad pages: every check reports its own, and none reports the good page", len(pages)-1)
	}
}

// A recorder is a testing.TB that records errors and does not fail.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); r.FailNow() }

func (r *recorder) FailNow() { runtime.Goexit() }

// reports runs a function and returns the errors that the visitor reports.
func reports(v *visitor, during func()) []string {
	r := &recorder{TB: v.t}
	v.t = r
	done := make(chan struct{})
	go func() {
		defer close(done)
		during()
	}()
	<-done
	return append(r.errors, v.watch.all()...)
}
