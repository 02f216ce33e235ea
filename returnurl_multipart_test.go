package flowhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// A formPart of a multipart form is a value or, if it has a file name, a file.
type formPart struct{ name, file, content string }

func multipartBody(t *testing.T, parts []formPart) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		var into io.Writer
		var err error
		if p.file == "" {
			into, err = w.CreateFormField(p.name)
		} else {
			into, err = w.CreateFormFile(p.name, p.file)
		}
		require.NoError(t, err)
		_, err = io.WriteString(into, p.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes(), w.FormDataContentType()
}

// tempDir is where temporary files are in this test.
func tempDir(t *testing.T) string {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	return dir
}

// parsers are what a handler may have done with the form before it calls ReturnURL.
var parsers = map[string]func(r *http.Request){
	"nothing":            func(*http.Request) {},
	"ParseForm":          func(r *http.Request) { _ = r.ParseForm() },
	"ParseMultipartForm": func(r *http.Request) { _ = r.ParseMultipartForm(32 << 20) },
	"FormValue":          func(r *http.Request) { r.FormValue("name") },
}

// The answer for a multipart form does not depend on whether the handler has parsed it.
func TestMultipartForm(t *testing.T) {
	tempDir(t)
	const good, bad = "https://www.example.org/app/x?q={y}#z", "https://evil.example/"
	picture := formPart{"picture", "picture.png", strings.Repeat("p", 2<<20)}
	for _, row := range []struct {
		name, query string
		parts       []formPart
		want        string // "": refused
	}{
		{"value", "", []formPart{{"return_to", "", good}}, good},
		{"value after a file", "", []formPart{picture, {"return_to", "", good}}, good},
		{"no value", "", []formPart{{"name", "", "x"}, picture}, "/signed-in"},
		{"empty value", "", []formPart{{"return_to", "", ""}}, "/signed-in"},
		{"no parts", "", nil, "/signed-in"},
		{"same in the query", "?return_to=" + url.QueryEscape(good), []formPart{{"return_to", "", good}}, good},
		{"another in the query", "?return_to=/here", []formPart{{"return_to", "", good}}, ""},
		{"only in the query", "?return_to=/here", []formPart{{"name", "", "x"}}, "/here"},
		{"malformed query", "?return_to=%zz", []formPart{{"return_to", "", good}}, good},
		{"twice", "", []formPart{{"return_to", "", good}, {"return_to", "", "/here"}}, ""},
		{"twice the same", "", []formPart{{"return_to", "", good}, {"return_to", "", good}}, good},
		{"not allowed", "", []formPart{{"return_to", "", bad}}, ""},
		{"line end", "", []formPart{{"return_to", "", "/here\r\n"}}, ""},
		{"file of that name", "", []formPart{{"return_to", "x.txt", bad}}, "/signed-in"},
	} {
		for parser, before := range parsers {
			t.Run(strings.ReplaceAll(row.name, " ", "_")+"/after_"+parser, func(t *testing.T) {
				body, contentType := multipartBody(t, row.parts)
				r := httptest.NewRequest("POST", "/"+row.query, bytes.NewReader(body))
				r.Header.Set("Content-Type", contentType)
				before(r)
				got, err := returnURL(t, returnsYAML, r, flowhook.Login, flowhook.Password)
				if row.want == "" {
					require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
					require.NotContains(t, err.Error(), "evil")
					return
				}
				require.NoError(t, err)
				require.Equal(t, row.want, got)
				require.Len(t, r.MultipartForm.Value["name"], len(r.PostForm["name"]))
				require.NoError(t, r.MultipartForm.RemoveAll())
			})
		}
	}
}

// A multipart form that cannot be read is an error, whether the handler or ReturnURL parsed it first.
func TestMultipartFormCannotBeRead(t *testing.T) {
	dir := tempDir(t)
	picture := formPart{"picture", "p.png", strings.Repeat("p", 2<<20)}
	body, contentType := multipartBody(t, []formPart{{"return_to", "", "/here"}, picture})
	values, valuesType := multipartBody(t, []formPart{{"bio", "", strings.Repeat("b", 12<<20)}})
	huge := func() io.Reader { // 40 MiB and no end
		head := body[:len(body)-100]
		return io.MultiReader(bytes.NewReader(head), bytes.NewReader(make([]byte, 40<<20)))
	}
	sent := func(b []byte) func() io.Reader { return func() io.Reader { return bytes.NewReader(b) } }
	unparsed := []string{"nothing", "ParseForm"} // a handler that parses sets limits of its own
	for _, row := range []struct {
		name, contentType string
		body              func() io.Reader
		limit             int64 // the host's
		big               bool  // an error of a limit
		parsers           []string
	}{
		{"cut off", contentType, sent(body[:len(body)-10]), 0, false, nil},
		{"client goes away", contentType, func() io.Reader {
			return io.MultiReader(bytes.NewReader(body[:300]), iotest.ErrReader(io.ErrUnexpectedEOF))
		}, 0, false, nil},
		{"not multipart", contentType, sent([]byte("return_to=/here")), 0, false, nil},
		{"no boundary", "multipart/form-data", sent(body), 0, false, nil},
		{"over the host's limit", contentType, sent(body), 1 << 20, true, nil},
		{"over the limit of 32 MiB", contentType, huge, 0, true, unparsed},
		{"values over 11 MiB", valuesType, sent(values), 0, false, unparsed},
		{"read by MultipartReader", contentType, sent(body), 0, false, []string{"MultipartReader"}},
	} {
		if row.parsers == nil {
			row.parsers = []string{"nothing", "ParseForm", "ParseMultipartForm", "FormValue"}
		}
		for _, parser := range row.parsers {
			t.Run(strings.ReplaceAll(row.name, " ", "_")+"/after_"+parser, func(t *testing.T) {
				r := httptest.NewRequest("POST", "/?return_to=/here", row.body())
				r.Header.Set("Content-Type", row.contentType)
				if row.limit > 0 {
					r.Body = http.MaxBytesReader(nil, r.Body, row.limit)
				}
				if parser == "MultipartReader" {
					_, err := r.MultipartReader()
					require.NoError(t, err)
				} else {
					parsers[parser](r)
				}
				_, err := returnURL(t, returnsYAML, r, flowhook.Login, flowhook.Password)
				require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
				big := (*http.MaxBytesError)(nil)
				require.Equal(t, row.big, errors.As(err, &big), "%v", err)
				left, err := filepath.Glob(filepath.Join(dir, "*"))
				require.NoError(t, err)
				require.Empty(t, left, "temporary files")
			})
		}
	}
}

// A host's limit may be above that of 32 MiB.
func TestMultipartFormWithinTheHostsLimit(t *testing.T) {
	tempDir(t)
	film := formPart{"film", "f.mp4", strings.Repeat("f", 33<<20)}
	body, contentType := multipartBody(t, []formPart{film, {"return_to", "", "/here"}})
	r := httptest.NewRequest("POST", "/", nil)
	r.Body = http.MaxBytesReader(nil, io.NopCloser(bytes.NewReader(body)), 40<<20)
	r.Header.Set("Content-Type", contentType)
	got, err := returnURL(t, returnsYAML, r, flowhook.Login, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, "/here", got)
	require.NoError(t, r.MultipartForm.RemoveAll())
}

// The handler reads values and files after Middleware has parsed the form. The temporary files go
// when it has returned.
func TestMiddlewareParsesMultipartForms(t *testing.T) {
	dir := tempDir(t)
	files := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		require.NoError(t, err)
		return all
	}
	var ran []string
	opts := noting(&ran)
	opts.Store = memstore.New()
	p, err := flowhook.New(flowtest.Parse(t, asksYAML), opts)
	require.NoError(t, err)
	picture := strings.Repeat("picture", 1<<20)
	srv := httptest.NewServer(p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("name") != "Alice" {
			http.Error(w, "no name", http.StatusTeapot)
			return
		}
		file, header, err := r.FormFile("picture")
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		defer file.Close()
		content, err := io.ReadAll(file)
		if err != nil || string(content) != picture || header.Filename != "p.png" || len(files()) == 0 {
			http.Error(w, "not as sent, or not on disk", http.StatusTeapot)
			return
		}
		_, _ = p.Complete(r.Context(), flowhook.Login, flowhook.Password, func(context.Context) error { return nil })
	})))
	defer srv.Close()
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for to, want := range map[string]int{"https://www.example.org/app/x": 302, "https://evil.example/": 400} {
		parts := []formPart{{"picture", "p.png", picture}, {"name", "", "Alice"}, {"return_to", "", to}}
		body, contentType := multipartBody(t, parts)
		res, err := client.Post(srv.URL, contentType, bytes.NewReader(body))
		require.NoError(t, err)
		said, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.StatusCode, "%s", said)
		if want == http.StatusFound {
			require.Equal(t, to, res.Header.Get("Location"))
		}
	}
	srv.Close() // waits for the handlers
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "temporary files")
}

// The outermost Middleware removes the temporary files, so that its handler can still read them.
func TestMiddleware_nested_keeps_the_files(t *testing.T) {
	dir := tempDir(t)
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {allowed_return_urls: [/app], settings: {after: "+
		"[{hook: redirect, config: {to: /, allow_user_defined_redirect: true}}]}}"), flowhook.Options{})
	require.NoError(t, err)
	body, kind := multipartBody(t, []formPart{{"picture", "me.png", strings.Repeat("x", 3<<20)}})
	reached := 0
	srv := httptest.NewServer(p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Middleware(flowhook.Settings)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })).ServeHTTP(w, r)
		file, _, err := r.FormFile("picture")
		require.NoError(t, err)
		defer file.Close()
		n, err := io.Copy(io.Discard, file)
		require.NoError(t, err)
		require.EqualValues(t, 3<<20, n)
	})))
	defer srv.Close()
	res, err := http.Post(srv.URL, kind, bytes.NewReader(body))
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, 1, reached)
	left, err := filepath.Glob(filepath.Join(dir, "multipart-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestReturnURL_leaves_the_form_as_it_is(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {allowed_return_urls: [/app]}"), flowhook.Options{})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/login?return_to=&return_to=/app", nil)
	require.NoError(t, r.ParseForm())
	to, err := p.ReturnURL(r, flowhook.Login, flowhook.FlowWide)
	require.NoError(t, err)
	require.Equal(t, "/app", to)
	require.Equal(t, url.Values{"return_to": {"", "/app"}}, r.Form)
}
