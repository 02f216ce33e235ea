package hookpage_test

import (
	"context"
	"encoding/xml"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

const secret = "canary-Zq7v2LhXk9TzR4mWc8NbYp3sJd6FaEuK1o5wVxHiSt0"

var idle = flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return nil })

type nowhere struct{}

func (nowhere) Send(context.Context, flowhook.Message) error { return nil }

// options have everything that a built-in hook needs, and two custom hooks: audit, and note, which
// has a config.
func options() flowhook.Options {
	return flowhook.Options{
		Store: memstore.New(), Courier: nowhere{}, VerificationURL: "https://auth.example.org/confirm",
		Secrets: []string{secret},
		Logger:  slog.New(slog.NewTextHandler(io.Discard, nil)),
		Hooks: map[string]flowhook.HookFactory{
			"audit": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return idle, nil },
			"note": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
				var config struct{ Key string }
				return idle, decode(&config)
			},
		},
	}
}

func parse(t *testing.T, text string) *flowhook.Config {
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	return cfg
}

func build(t *testing.T, cfg *flowhook.Config, opts flowhook.Options) *flowhook.Pipeline {
	p, err := flowhook.New(cfg, opts)
	require.NoError(t, err)
	return p
}

// get returns the page, which must be well-formed.
func get(t *testing.T, p *flowhook.Pipeline, opts ...hookpage.Options) string {
	t.Helper()
	opts = append(opts, hookpage.Options{})
	w := httptest.NewRecorder()
	hookpage.Handler(p, opts[0]).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusOK, w.Code)
	d := xml.NewDecoder(strings.NewReader(w.Body.String()))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	depth := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		switch token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
	}
	require.Zero(t, depth)
	return w.Body.String()
}

var (
	tag   = regexp.MustCompile(`<[^>]*>`)
	space = regexp.MustCompile(`\s+`)
)

// words returns the text of some HTML.
func words(markup string) string {
	return strings.TrimSpace(space.ReplaceAllString(html.UnescapeString(tag.ReplaceAllString(markup, " ")), " "))
}

// lane returns the text of a lane, and its HTML.
func lane(t *testing.T, page, title string) (text, markup string) {
	t.Helper()
	_, rest, found := strings.Cut(page, ">"+html.EscapeString(title)+"</h3>")
	require.True(t, found, "no lane %q", title)
	markup, _, _ = strings.Cut(rest, "</section>")
	return words(markup), markup
}

// inOrder asserts that text has the parts in this order.
func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	at := 0
	for _, part := range parts {
		i := strings.Index(text[at:], part)
		require.GreaterOrEqual(t, i, 0, "%q is not next after %q in %q", part, text[:at], text)
		at += i + len(part)
	}
}

// description returns the description of a hook in the plan.
func description(t *testing.T, p *flowhook.Pipeline, name string) string {
	t.Helper()
	for _, hooks := range p.Plan().Points() {
		for _, h := range hooks {
			if h.Name == name {
				require.NotEmpty(t, h.Description)
				return h.Description
			}
		}
	}
	t.Fatalf("no hook %q", name)
	return ""
}
