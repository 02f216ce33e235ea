package drawtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/flowhook/flowhook/internal/testkit/pagecheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHookPage opens the page of several configurations with every look.
func TestHookPage(t *testing.T) {
	b := newTab(t)
	for name, p := range map[string]*flowhook.Pipeline{
		"empty":   load(t, "", flowhook.Options{}),
		"service": load(t, "service.yml", flowhook.Options{Secrets: random}),
		"traps":   load(t, "traps.yml", flowhook.Options{}),
		"hostile": hostile(t),
	} {
		server := httptest.NewServer(hookpage.Handler(p, hookpage.Options{}))
		defer server.Close()
		for _, l := range looks {
			where := name + " at " + l.String()
			b.as(l, 800)
			b.open(server.URL) // again for each look, to know to which one a complaint belongs
			if name != "empty" {
				assert.Less(t, js[float64](b, "Math.max(0, ...Array.from(document.querySelectorAll('.lane'), "+
					"(e) => e.getBoundingClientRect().bottom))"), limit(l), "%s: not every flow is visible", where)
			}
			js[int](b, "document.querySelectorAll('details').forEach((e) => { e.open = true; }), 1")
			for _, check := range []string{"structure", "layout", "colors"} {
				found := js[struct {
					Seen  int
					Wrong []string
				}](b, pagecheck.JS+"."+check+"()")
				assert.Empty(t, found.Wrong, "%s: %s", where, check)
				assert.NotZero(t, found.Seen, "%s: %s checked nothing", where, check)
			}
			assert.NotEqual(t, "run", js[string](b, "document.title"), where)
			assert.Zero(t, js[int](b, "document.querySelectorAll('#made, main img, main script, main i').length"),
				"%s: a name is markup", where)
			b.picture("page-"+name, l)
			assert.Empty(t, b.heard(), where)
		}
		if name == "hostile" {
			text := words(js[string](b, "document.querySelector('main').innerText"))
			for _, hook := range hostileNames {
				assert.Contains(t, text, words(hook), "the name is shown as text")
			}
		}
	}
}

// limit returns the height in which every flow must be visible.
func limit(l look) float64 {
	if l.width >= 1280 {
		return 900
	}
	return 1e6
}

// words replaces each run of white space with a space.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// lane returns the visible text of a lane, from top to bottom.
func lane(b *tab, title string) string {
	return words(js[string](b, fmt.Sprintf("Array.from(document.querySelectorAll('h3'))."+
		"find((h) => h.innerText === %q).closest('details').innerText", title)))
}

// The page alone tells what happens at a registration by password, in order and at every width.
func TestHookPage_Registration(t *testing.T) {
	b := newTab(t)
	opts := hookpage.Options{Recorder: hookpage.NewRecorder()}
	server := httptest.NewServer(hookpage.Handler(load(t, "service.yml", flowhook.Options{Secrets: random}), opts))
	defer server.Close()
	for _, l := range looks {
		b.as(l, 800)
		b.open(server.URL)
		require.True(t, js[bool](b, "Array.from(document.querySelectorAll('.step')).every((e) => !e.checkVisibility())"))
		b.open(server.URL + "?lane=registration/password")
		text, at := lane(b, "registration · password"), 0
		for _, next := range []string{
			"registration · password", "invited → save → verify → audit", "Request", "The request arrives",
			"Your handler checks the new user's input, including the password.",
			"nothing is saved yet", "invited", "A custom hook without a description.", "Fails after 2s.",
			"One transaction", "your handler stores the new user",
			"verify", "Emails a link or a code to each address that is not verified, after the commit",
			"audit", "flow-wide", "A custom hook without a description.", "ran 0, answered 0, refused 0, failed 0",
			"everything is saved", "The emails are handed to the courier", "Your handler answers",
			"If it fails", "rolled back", "wrong password", "audit", "Your handler answers with the error",
		} {
			i := strings.Index(text[at:], next)
			require.GreaterOrEqual(t, i, 0, "%s: %q does not come next, in %q, after %q", l, next, text, text[:at])
			at += i + len(next)
		}
		assert.NotContains(t, text, "session cookie", "a registration by password does not sign in")
		inOrder(t, b, l)
		b.part("registration", "//h3[. = 'registration · password']/../..", l)
	}
}

// inOrder asserts that the steps of each lane follow each other on the screen, to the right or
// down.
func inOrder(t *testing.T, b *tab, l look) {
	wrong := js[[]string](b, `Array.from(document.querySelectorAll('[open] > .body > .steps')).flatMap((lane) => {
		const boxes = Array.from(lane.children, (e) => e.getBoundingClientRect());
		return boxes.slice(1).flatMap((box, i) => {
			const follows = innerWidth > 992 ? box.left >= boxes[i].right : box.top >= boxes[i].bottom;
			return follows ? [] : [lane.closest('details').id + ' ' + i];
		});
	})`)
	assert.Empty(t, wrong, l.String())
}

// TestHookPage_ContentSecurityPolicy adds markup to the page. The browser must block it and
// complain.
func TestHookPage_ContentSecurityPolicy(t *testing.T) {
	handler := hookpage.Handler(load(t, "service.yml", flowhook.Options{Secrets: random}), hookpage.Options{})
	for name, markup := range map[string]string{
		"script":          "<script>document.title = 'run'</script>",
		"style":           "<style>h1 { display: none }</style>",
		"style attribute": `<h1 style="display: none">x</h1>`,
		"image":           `<img src="/elsewhere">`,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				page := httptest.NewRecorder()
				handler.ServeHTTP(page, r)
				w.Header().Set("Content-Type", page.Header().Get("Content-Type"))
				w.Header().Set("Content-Security-Policy", page.Header().Get("Content-Security-Policy"))
				io.WriteString(w, strings.Replace(page.Body.String(), "</header>", markup+"</header>", 1))
			}))
			defer server.Close()
			b := newTab(t)
			b.open(server.URL)
			assert.NotEqual(t, "run", js[string](b, "document.title"))
			assert.True(t, js[bool](b, "Array.from(document.querySelectorAll('h1')).every((h) => h.checkVisibility())"))
			assert.Contains(t, strings.Join(b.heard(), "\n"), "ContentSecurityPolicyIssue")
		})
	}
}
