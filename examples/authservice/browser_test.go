package main

import (
	"cmp"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// A browser uses the pages as a user does: it finds links and buttons by their text.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client

	Status int
	Header http.Header
	URL    *url.URL
	Body   string
	doc    *html.Node
}

func newBrowser(t *testing.T, server *httptest.Server) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t: t, base: server.URL, client: &http.Client{Transport: server.Client().Transport, Jar: jar}}
}

func (b *browser) open(target string) *browser {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.base + target
	}
	r, err := http.NewRequest("GET", target, nil)
	require.NoError(b.t, err)
	return b.do(r)
}

// post sends a form that may not be on any page.
func (b *browser) post(path string, values url.Values) *browser {
	b.t.Helper()
	r, err := http.NewRequest("POST", b.base+path, strings.NewReader(values.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

func (b *browser) do(r *http.Request) *browser {
	b.t.Helper()
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if r.Method == "POST" {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	response, err := b.client.Do(r)
	require.NoError(b.t, err)
	return b.read(response)
}

// read shows the page of a response.
func (b *browser) read(response *http.Response) *browser {
	b.t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	b.Status, b.Header, b.URL, b.Body = response.StatusCode, response.Header, response.Request.URL, string(body)
	b.doc, err = html.Parse(strings.NewReader(b.Body))
	require.NoError(b.t, err)
	if strings.HasPrefix(b.URL.String(), b.base) && !strings.HasPrefix(b.URL.Path, "/dev/") &&
		strings.HasPrefix(b.Header.Get("Content-Type"), "text/html") {
		b.checkPage()
	}
	return b
}

// checkPage checks what must hold for every page of the service.
func (b *browser) checkPage() {
	b.t.Helper()
	where := b.URL.Path
	require.True(b.t, strings.HasSuffix(b.Body, "</body>\n</html>\n"), "%s: the page is incomplete", where)
	require.Len(b.t, b.all("h1"), 1, where)
	require.Equal(b.t, "en", attribute(b.all("html")[0], "lang"), where)
	require.NotEmpty(b.t, text(b.all("title")[0]), where)
	for _, n := range b.all("script") {
		require.NotEmpty(b.t, attribute(n, "src"), where)
		require.Empty(b.t, text(n), where)
	}
	require.NotContains(b.t, b.Body, "style=", where)
	require.Equal(b.t, "no-store", b.Header.Get("Cache-Control"), where)
	require.Contains(b.t, b.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'self'; "+
		"script-src 'self';", where)

	ids, labels := map[string]bool{}, map[string]bool{}
	for _, n := range b.all("") {
		if id := attribute(n, "id"); id != "" {
			require.False(b.t, ids[id], "%s: two elements have the id %q", where, id)
			ids[id] = true
		}
		if n.Data == "label" {
			require.NotEmpty(b.t, text(n))
			labels[attribute(n, "for")] = true
		}
	}
	for _, n := range b.all("input") {
		if attribute(n, "type") == "hidden" {
			continue
		}
		require.True(b.t, labels[attribute(n, "id")], "%s: %s has no label", where, attribute(n, "name"))
		require.NotEmpty(b.t, attribute(n, "autocomplete"), "%s: %s", where, attribute(n, "name"))
		for by := range strings.FieldsSeq(attribute(n, "aria-describedby")) {
			require.True(b.t, ids[by], "%s: no element has the id %q", where, by)
		}
		if attribute(n, "type") == "password" {
			require.Empty(b.t, attribute(n, "value"), "%s: the page contains a password", where)
		}
	}
	for _, n := range b.all("form") {
		require.Equal(b.t, "post", attribute(n, "method"), where)
	}
}

// follow opens the link with this text.
func (b *browser) follow(label string) *browser {
	b.t.Helper()
	for _, n := range b.all("a") {
		if text(n) == label {
			return b.open(b.resolve(attribute(n, "href")))
		}
	}
	require.FailNow(b.t, "no link "+label, b.Body)
	return b
}

// press submits the first form whose button has this text, with these values in its fields.
func (b *browser) press(label string, values ...string) *browser {
	b.t.Helper()
	for _, form := range b.all("form") {
		if !slices.ContainsFunc(within(form, "button"), func(n *html.Node) bool { return text(n) == label }) {
			continue
		}
		filled, action := url.Values{}, attribute(form, "action")
		for _, n := range slices.Concat(within(form, "input"), within(form, "button")) {
			if n.Data == "button" && text(n) == label {
				action = cmp.Or(attribute(n, "formaction"), action)
			}
			if attribute(n, "name") != "" && (n.Data == "input" || text(n) == label) {
				filled.Set(attribute(n, "name"), attribute(n, "value"))
			}
		}
		for i := 0; i < len(values); i += 2 {
			require.True(b.t, filled.Has(values[i]), "the form %s has no field %s", label, values[i])
			filled.Set(values[i], values[i+1])
		}
		r, err := http.NewRequest("POST", b.resolve(action), strings.NewReader(filled.Encode()))
		require.NoError(b.t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return b.do(r)
	}
	require.FailNow(b.t, "no button "+label, b.Body)
	return b
}

// at checks which page is shown.
func (b *browser) at(path, heading string) *browser {
	b.t.Helper()
	require.Equal(b.t, path, b.URL.Path, b.Body)
	require.Equal(b.t, heading, text(b.all("h1")[0]))
	return b
}

// hasHeader reports whether the page has the header for a signed-in user.
func (b *browser) hasHeader() bool { return len(b.all("nav")) == 1 }

// refused checks the status and the text of the page.
func (b *browser) refused(status int, want string) *browser {
	b.t.Helper()
	require.Equal(b.t, status, b.Status, b.Body)
	require.Contains(b.t, text(b.doc), want)
	return b
}

// cookie returns the value of a cookie of the service, or "".
func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.base)
	require.NoError(b.t, err)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	u, err := url.Parse(b.base)
	require.NoError(b.t, err)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

func (b *browser) resolve(reference string) string {
	u, err := b.URL.Parse(reference)
	require.NoError(b.t, err)
	return u.String()
}

func (b *browser) all(tag string) []*html.Node { return within(b.doc, tag) }

// within returns all elements with a tag, or all elements if tag is empty.
func within(n *html.Node, tag string) (found []*html.Node) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && (tag == "" || c.Data == tag) {
			found = append(found, c)
		}
	}
	return found
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
