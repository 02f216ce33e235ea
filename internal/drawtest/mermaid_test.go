package drawtest

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/chromedp/chromedp"
	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var drawing = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><head><title>Drawing</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width"></head><body><pre>{{.}}</pre><script src="/mermaid.js"></script></body></html>`))

// TestMermaid_Draws draws diagrams with Mermaid itself. FLOWHOOK_MERMAID is the path of its
// mermaid.min.js. The tests of internal/draw check the text of diagrams without it.
func TestMermaid_Draws(t *testing.T) {
	const unless = ", unless an earlier hook answers"
	library, err := os.ReadFile(testkit.Env(t, "FLOWHOOK_MERMAID"))
	require.NoError(t, err)
	b := newTab(t)
	for name, row := range map[string]struct {
		pipeline *flowhook.Pipeline
		drawn    drawn
	}{
		"empty": {load(t, "", flowhook.Options{}), drawn{[]string{}, []string{}, 0}},
		"service": {load(t, "service.yml", flowhook.Options{Secrets: random}), drawn{
			[]string{"login by any strategy", "registration by password", "registration by oidc", "registration by any other strategy",
				"settings by password", "settings by profile", "settings by any other strategy", "sign_out_everywhere by any strategy"},
			[]string{"302 to /settings" + unless, "302 to /settings" + unless, "302 to /settings" + unless}, 0}},
		"traps": {load(t, "traps.yml", flowhook.Options{}), drawn{
			[]string{"login by password", "login by any other strategy", "registration by password", "registration by oidc",
				"registration by any other strategy", "recovery by any strategy"},
			[]string{"302 to /closed", "302 to /maintenance", "302 to /sorry" + unless, "302 to /sorry" + unless, "302 to /sorry" + unless,
				"302 to https://www.example.org/welcome" + unless, "302 to https://www.example.org/welcome" + unless},
			2 /* login */ + 3 /* failed */ + 2 /* save, audit */ + 3 /* handler, save, revoke */}},
		"hostile": {hostile(t), drawn{
			[]string{`flow "]<i id="made"> by way ` + "`**`]", `flow "]<i id="made"> by any other strategy`}, []string{}, 0}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/mermaid.js" {
				w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
				w.Write(library)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			drawing.Execute(w, row.pipeline.Plan().Mermaid())
		}))
		defer server.Close()
		for _, l := range []look{{1280, false}, {390, false}} {
			where := name + " at " + l.String()
			b.as(l, 800)
			b.open(server.URL)
			said := run(b, chromedp.Evaluate[string](`(async () => {
				mermaid.initialize({ startOnLoad: false, securityLevel: 'strict' });
				try { await mermaid.run({ querySelector: 'pre' }); return ''; } catch (e) { return String(e.message || e.str || e); }
			})()`, chromedp.EvalAwaitPromise))
			require.Empty(t, said, "%s: Mermaid says\n%s", where, row.pipeline.Plan().Mermaid())
			b.picture("mermaid-"+name, l)
			assert.Equal(t, "Drawing", js[string](b, "document.title"), where)
			assert.Zero(t, js[int](b, "document.querySelectorAll("+
				"'pre script, pre img, pre a, pre b, pre strong, pre em, pre i, pre ul, pre .katex').length"),
				"%s: a name is markup", where)
			assert.Empty(t, b.heard(), where)
			shown := drawn{
				Lanes: js[[]string](b, `Array.from(document.querySelectorAll('.node'),
						(e) => ({ text: e.textContent.trim(), top: e.getBoundingClientRect().top }))
					.filter((e) => e.text.includes(' by ')).sort((x, y) => x.top - y.top).map((e) => e.text)`),
				Answers: js[[]string](b, `Array.from(document.querySelectorAll('.node.answers'),
					(e) => e.textContent.trim().replaceAll('\u2060', ''))`),
				Never: js[int](b, "document.querySelectorAll('.node.never').length"),
			}
			assert.Empty(t, js[[]string](b, covered), "%s: the edge of a box covers a title", where)
			slices.Sort(shown.Answers)
			assert.Equal(t, row.drawn, shown, where)
			if name == "hostile" {
				text := words(js[string](b, "Array.from(document.querySelectorAll('.nodeLabel'), "+
					"(e) => e.innerText).join(' ').replaceAll('\u2060', '')"))
				for _, hook := range hostileNames {
					assert.Contains(t, text, words(strings.Map(printable, hook)), "the name is shown as text")
				}
			}
		}
	}
}

// covered returns the titles of boxes that the edge of another box covers.
const covered = `(() => {
	const boxes = Array.from(document.querySelectorAll('.cluster > rect'), (e) => e.getBoundingClientRect());
	return Array.from(document.querySelectorAll('.cluster-label')).filter((e) => {
		const title = e.getBoundingClientRect();
		return e.textContent.trim() && boxes.some((box) => box.left < title.right && box.right > title.left &&
			[box.top, box.bottom].some((y) => y > title.top + 1 && y < title.bottom - 1));
	}).map((e) => e.textContent.trim());
})()`

// A drawn is what a diagram shows.
type drawn struct {
	Lanes   []string // from top to bottom
	Answers []string // sorted
	Never   int
}

// printable replaces a character that the diagram replaces.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}
