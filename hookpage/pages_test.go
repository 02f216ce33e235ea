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
	"slices"
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

// get returns the page.
func get(t *testing.T, p *flowhook.Pipeline, opts ...hookpage.Options) string {
	t.Helper()
	return query(t, p, "", opts...)
}

// query returns the page for a query, such as "?lane=login", from a server.
func query(t *testing.T, p *flowhook.Pipeline, query string, opts ...hookpage.Options) string {
	t.Helper()
	opts = append(opts, hookpage.Options{})
	server := httptest.NewServer(hookpage.Handler(p, opts[0]))
	defer server.Close()
	status, body := fetch(t, server.URL+query)
	require.Equal(t, http.StatusOK, status, body)
	return body
}

func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(data)
}

// An element is a part of a page.
type element struct {
	name     string
	attr     map[string]string
	markup   string // with its own tags
	children []*element
}

// read parses a page, which must be well-formed.
func read(t *testing.T, page string) *element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	type opened struct {
		*element
		start int64
	}
	stack := []opened{{element: &element{}}}
	for {
		start := d.InputOffset()
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		top := stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			top.children = append(top.children, e)
			stack = append(stack, opened{e, start})
		case xml.EndElement:
			top.markup = page[top.start:d.InputOffset()]
			stack = stack[:len(stack)-1]
		}
	}
	require.Len(t, stack, 1)
	return stack[0].element
}

// all returns the elements in e with a name and a class, in order. An empty class is any.
func (e *element) all(name, class string) (found []*element) {
	for _, c := range e.children {
		if c.name == name && (class == "" || slices.Contains(strings.Fields(c.attr["class"]), class)) {
			found = append(found, c)
		}
		found = append(found, c.all(name, class)...)
	}
	return found
}

func (e *element) words() string { return words(e.markup) }

var (
	tag   = regexp.MustCompile(`(?s)<style>.*</style>|<[^>]*>`)
	space = regexp.MustCompile(`\s+`)
)

// words returns the text of some HTML.
func words(markup string) string {
	return strings.TrimSpace(space.ReplaceAllString(html.UnescapeString(tag.ReplaceAllString(markup, " ")), " "))
}

// laneOf returns the lane with a title, such as "login · password".
func laneOf(t *testing.T, page, title string) *element {
	t.Helper()
	for _, l := range read(t, page).all("details", "lane") {
		if l.all("h3", "")[0].words() == title {
			return l
		}
	}
	t.Fatalf("no lane %q", title)
	return nil
}

// lane returns the text of a lane after its title, and its HTML.
func lane(t *testing.T, page, title string) (text, markup string) {
	t.Helper()
	l := laneOf(t, page, title)
	return words(l.all("div", "body")[0].markup), l.markup
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
