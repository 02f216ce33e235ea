package drawtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The checks that the pages of the authservice example go through. Its own tests show that each of them reports a bad page.
const checks = "../../examples/authservice/internal/browser/page.js"

// TestHookPageInABrowser opens the page of several configurations, at each width, light and dark.
func TestHookPageInABrowser(t *testing.T) {
	script, err := os.ReadFile(checks)
	require.NoError(t, err)
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
			b.open(server.URL) // anew: a complaint belongs to one look
			for _, check := range []string{"structure", "layout", "colors"} {
				found := js[struct {
					Seen  int
					Wrong []string
				}](b, string(script)+"."+check+"()")
				assert.Empty(t, found.Wrong, "%s: %s", where, check)
				assert.NotZero(t, found.Seen, "%s: %s looked at nothing", where, check)
			}
			assert.NotEqual(t, "run", js[string](b, "document.title"), where)
			assert.Zero(t, js[int](b, "document.querySelectorAll('#made, main img, main script, main i').length"), "%s: a name is markup", where)
			b.picture("page-"+name, l)
			assert.Empty(t, b.heard(), where)
		}
		if name == "hostile" {
			text := words(js[string](b, "document.querySelector('main').innerText"))
			for _, hook := range hostileNames {
				assert.Contains(t, text, words(hook), "the name is there, as text")
			}
		}
	}
}

// words takes out how text is spread over lines.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// lane gives what a reader sees of a lane, from top to bottom.
func lane(b *tab, title string) string {
	return words(js[string](b, fmt.Sprintf("Array.from(document.querySelectorAll('h3')).find((h) => h.innerText === %q).parentElement.innerText", title)))
}

// TestRegistrationByPasswordCanBeRead is what the page is for: it alone tells what happens, in order, whatever its width.
func TestRegistrationByPasswordCanBeRead(t *testing.T) {
	b := newTab(t)
	opts := hookpage.Options{Recorder: hookpage.NewRecorder()}
	server := httptest.NewServer(hookpage.Handler(load(t, "service.yml", flowhook.Options{Secrets: random}), opts))
	defer server.Close()
	for _, l := range looks {
		b.as(l, 800)
		b.open(server.URL)
		text, at := lane(b, "registration by password"), 0
		for _, next := range []string{
			"Request", "The request comes in",
			"Your handler checks what the new user has entered, the password too",
			"nothing is saved yet", "invited", "A hook of your own", "At most 2s",
			"One transaction", "your handler stores the new user",
			"verify", "Mails a link to each address that is not verified, after the commit",
			"audit", "flow-wide", "A hook of your own", "ran 0, answered 0, failed 0",
			"all of it is saved", "The mails leave", "Your handler answers",
			"If it fails", "all of it is undone", "audit", "Your handler answers with the error",
		} {
			i := strings.Index(text[at:], next)
			require.GreaterOrEqual(t, i, 0, "%s: %q does not come next, in %q, after %q", l, next, text, text[:at])
			at += i + len(next)
		}
		assert.NotContains(t, text, "session cookie", "who registers by password is not signed in")
		inOrder(t, b, l)
		b.part("registration", "//h3[. = 'registration by password']/..", l)
	}
}

// inOrder says that the steps of each lane follow each other on the screen: to the right, or downwards.
func inOrder(t *testing.T, b *tab, l look) {
	wrong := js[[]string](b, `Array.from(document.querySelectorAll('.lane')).flatMap((lane) => {
		const boxes = Array.from(lane.children, (e) => e.getBoundingClientRect());
		return boxes.slice(1).flatMap((box, i) => (innerWidth > 992 ? box.left >= boxes[i].right : box.top >= boxes[i].bottom) ? [] : [lane.previousElementSibling.innerText + ' ' + i]);
	})`)
	assert.Empty(t, wrong, l.String())
}

// TestThePolicyHolds puts into the page what it does not have. The browser must refuse it, and be heard to.
func TestThePolicyHolds(t *testing.T) {
	handler := hookpage.Handler(load(t, "service.yml", flowhook.Options{Secrets: random}), hookpage.Options{})
	for _, smuggled := range []string{"<script>document.title = 'run'</script>", "<style>h1 { display: none }</style>",
		`<h1 style="display: none">x</h1>`, `<img src="/elsewhere">`} {
		t.Run(smuggled, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				page := httptest.NewRecorder()
				handler.ServeHTTP(page, r)
				w.Header().Set("Content-Type", page.Header().Get("Content-Type"))
				w.Header().Set("Content-Security-Policy", page.Header().Get("Content-Security-Policy"))
				io.WriteString(w, strings.Replace(page.Body.String(), "</header>", smuggled+"</header>", 1))
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
