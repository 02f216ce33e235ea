package flowhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

const returnsYAML = `
selfservice:
  default_browser_return_url: https://www.example.org/home
  allowed_return_urls: [https://www.example.org/app, "https://*.example.net", /here]
  flows:
    login:
      after:
        default_browser_return_url: /signed-in
        oidc: {default_browser_return_url: "https://www.example.org/from-provider"}
    settings: {after: {default_browser_return_url: "/settings?saved"}}
`

func returnURL(t *testing.T, yaml string, r *http.Request, flow flowhook.Flow, s flowhook.Strategy) (string, error) {
	t.Helper()
	p, err := flowhook.New(flowtest.Parse(t, yaml), flowtest.AnyOptions())
	require.NoError(t, err)
	return p.ReturnURL(r, flow, s)
}

func TestReturnURL_Default(t *testing.T) {
	for _, row := range []struct {
		flow     flowhook.Flow
		strategy flowhook.Strategy
		want     string
	}{
		{flowhook.Login, flowhook.OIDC, "https://www.example.org/from-provider"},
		{flowhook.Login, flowhook.Password, "/signed-in"},
		{flowhook.Login, flowhook.FlowWide, "/signed-in"},
		{flowhook.Settings, flowhook.OIDC, "/settings?saved"},
		{flowhook.Registration, flowhook.OIDC, "https://www.example.org/home"},
		{"invite", "magic", "https://www.example.org/home"},
	} {
		got, err := returnURL(t, returnsYAML, flowtest.NewRequest(), row.flow, row.strategy)
		require.NoError(t, err)
		require.Equal(t, row.want, got)
	}
	_, err := returnURL(t, returnsYAML, flowtest.NewRequest(), "nosuch", "")
	require.ErrorIs(t, err, flowhook.ErrUnknownPoint)
	_, err = returnURL(t, returnsYAML, flowtest.NewRequest(), flowhook.Login, "nosuch")
	require.ErrorIs(t, err, flowhook.ErrUnknownPoint)
	_, err = returnURL(t, "", flowtest.NewRequest(), flowhook.Login, flowhook.FlowWide)
	require.ErrorIs(t, err, flowhook.ErrNotConfigured)
}

// Kratos has other names for the same settings in its three layouts.
func TestReturnURL_Layouts(t *testing.T) {
	for _, yaml := range []string{
		"urls: {default_return_to: /home, whitelisted_return_to_urls: [/app]}\nselfservice: {login: {after: {default_return_to: /login, oidc: {default_return_to: /oidc}}}}",
		"selfservice: {default_return_to: /home, whitelisted_return_to_urls: [/app], login: {after: {default_return_to: /login, oidc: {default_return_to: /oidc}}}}",
		"selfservice: {default_browser_return_url: /home, whitelisted_return_urls: [/app], flows: {login: {after: {default_browser_return_url: /login, oidc: {default_browser_return_url: /oidc}}}}}",
		"selfservice: {default_browser_return_url: /home, allowed_return_urls: [/app], whitelisted_return_urls: [/other], flows: {login: {after: {default_browser_return_url: /login, oidc: {default_browser_return_url: /oidc}}}}}",
	} {
		for at, want := range map[flowhook.Point]string{
			{Flow: flowhook.Login, Strategy: flowhook.OIDC}:     "/oidc",
			{Flow: flowhook.Login, Strategy: flowhook.Password}: "/login",
			{Flow: flowhook.Recovery}:                           "/home",
		} {
			got, err := returnURL(t, yaml, flowtest.NewRequest(), at.Flow, at.Strategy)
			require.NoError(t, err, yaml)
			require.Equal(t, want, got, yaml)
		}
		got, err := returnURL(t, yaml, httptest.NewRequest("GET", "/?return_to=/app/x", nil), flowhook.Login,
			flowhook.OIDC)
		require.NoError(t, err, yaml)
		require.Equal(t, "/app/x", got, yaml)
		_, err = returnURL(t, yaml, httptest.NewRequest("GET", "/?return_to=/other", nil), flowhook.Login,
			flowhook.OIDC)
		require.ErrorIs(t, err, flowhook.ErrBadReturnURL, yaml)
	}
}

// A browser sends return_to in the query, in the form, or in both.
func TestReturnURL_Sources(t *testing.T) {
	form := func(target, body string) *http.Request {
		r := httptest.NewRequest("POST", target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	const good, bad = "https://www.example.org/app/x?y=z#w", "https://evil.example/"
	escaped := url.QueryEscape(good)
	for _, row := range []struct {
		name string
		r    *http.Request
		want string // "": refused
	}{
		{"query", form("/?return_to="+escaped, ""), good},
		{"form", form("/", "return_to="+escaped), good},
		{"both, the same", form("/?return_to="+escaped, "return_to="+escaped), good},
		{"both, different", form("/?return_to="+escaped, "return_to=/here"), ""},
		{"twice in the query", form("/?return_to=/here&return_to=/here/x", ""), ""},
		{"twice in the query, the same", form("/?return_to=/here&return_to=/here", ""), "/here"},
		{"allowed URL and a bad one", form("/?return_to="+escaped+"&return_to="+url.QueryEscape(bad), ""), ""},
		{"empty one and an allowed URL", form("/?return_to=&return_to=/here", ""), "/here"},
		{"empty one", form("/?return_to=", "return_to="), "/signed-in"},
		{"name in another letter case", form("/?Return_To="+url.QueryEscape(bad), ""), "/signed-in"},
		{"semicolon is no separator", form("/?a;return_to="+url.QueryEscape(bad), ""), "/signed-in"},
		{"malformed pairs are ignored", form("/?return_to=%zz", ""), "/signed-in"},
		{"a bad one in the query", form("/?return_to="+url.QueryEscape(bad), ""), ""},
		{"a bad one in the form", form("/", "return_to="+url.QueryEscape(bad)), ""},
		{"subdomain", form("/?return_to=https://a.b.example.net/x", ""), "https://a.b.example.net/x"},
		{"default", form("/?return_to=/signed-in", ""), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := returnURL(t, returnsYAML, row.r, flowhook.Login, flowhook.Password)
			if row.want == "" {
				require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
				require.NotContains(t, err.Error(), "example", "the error shows the URL")
				require.Empty(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

// The form is parsed only once, so a handler that parses it again would not see the error of the
// first time.
func TestReturnURL_UnreadableForm(t *testing.T) {
	for name, row := range map[string]struct {
		body  string
		limit int64
		big   bool
	}{
		"malformed":                  {"name=x&bio=%zz&phone=1", 1 << 20, false},
		"over the host's limit":      {"name=" + strings.Repeat("x", 2000), 1000, true},
		"over net/http's of 10 MiB":  {"name=" + strings.Repeat("x", 10<<20), 0, false},
		"of a client that goes away": {"", 1 << 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			var said error
			opts := noting(new([]string))
			opts.OnError = func(w http.ResponseWriter, _ *http.Request, err error) {
				said = err
				w.WriteHeader(http.StatusBadRequest)
			}
			p, err := flowhook.New(flowtest.Parse(t, asksYAML), opts)
			require.NoError(t, err)
			h := p.Middleware(flowhook.Login)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				t.Errorf("reached; ParseForm says %v, and there are %d fields", r.ParseForm(), len(r.PostForm))
			}))
			body := io.Reader(strings.NewReader(row.body))
			if row.body == "" {
				body = io.MultiReader(strings.NewReader("name=x&pho"), iotest.ErrReader(io.ErrUnexpectedEOF))
			}
			r := httptest.NewRequest("POST", "/?return_to=https://www.example.org/app", body)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			rec := httptest.NewRecorder()
			if row.limit > 0 {
				r.Body = http.MaxBytesReader(rec, r.Body, row.limit)
			}
			h.ServeHTTP(rec, r)
			require.ErrorIs(t, said, flowhook.ErrBadReturnURL)
			big := (*http.MaxBytesError)(nil)
			require.Equal(t, row.big, errors.As(said, &big))
			require.NotContains(t, said.Error(), "%zz", "the error shows what may be a password")
		})
	}
}

// A handler that has parsed the form itself has seen the error, so the form counts as parsed.
func TestReturnURL_ParsedForm(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("return_to=/here&bio=%zz"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.Error(t, r.ParseForm())
	got, err := returnURL(t, returnsYAML, r, flowhook.Login, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, "/here", got)
}

// A body that is not a form is left to the handler, to the last byte.
func TestReturnURL_OtherBodyIsUnread(t *testing.T) {
	for _, kind := range []string{"", "application/json", "application/json; charset", "/", "text/plain"} {
		r := httptest.NewRequest("POST", "/?return_to=/here", strings.NewReader(`{"return_to": "/elsewhere"}`))
		r.Header.Set("Content-Type", kind)
		got, err := returnURL(t, returnsYAML, r, flowhook.Login, flowhook.Password)
		require.NoError(t, err, kind)
		require.Equal(t, "/here", got)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Len(t, body, 27)
	}
}

// If the file allows no URL, a requested one is rejected and not ignored.
func TestReturnURL_NoneAllowedByDefault(t *testing.T) {
	for _, yaml := range []string{"selfservice: {default_browser_return_url: /home}",
		"selfservice: {default_browser_return_url: /home, allowed_return_urls: []}"} {
		_, err := returnURL(t, yaml, httptest.NewRequest("GET", "/?return_to=/home", nil), flowhook.Login,
			flowhook.FlowWide)
		require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
	}
}

// With an empty list, no URL could be requested.
func TestReturnURL_RedirectNeedsAllowedURLs(t *testing.T) {
	const text = "selfservice: {allowed_return_urls: %s, login: {before: [{hook: redirect, config: {to: /x, allow_user_defined_redirect: true}}]}}"
	require.NoError(t, flowtest.Build(fmt.Sprintf(text, "[/app]"), flowtest.AnyOptions()))
	require.ErrorContains(t, flowtest.Build(fmt.Sprintf(text, "[]"), flowtest.AnyOptions()),
		"there are no return URLs that a user could name")
	require.Len(t, flowtest.ConfigErrors(flowtest.Build(fmt.Sprintf(text, "[1]"), flowtest.AnyOptions())), 1,
		"want one error for one mistake")
}

func TestReturnURL_BadConfig(t *testing.T) {
	err := flowtest.Build(`
selfservice:
  default_browser_return_url: //www.example.org
  allowed_return_urls:
    - https://www.example.org/?x
    - exp://localhost:8081/--/Callback
    - https://*.org
  flows:
    login: {after: {oidc: {default_browser_return_url: "javascript:alert(1)"}}}
`, flowtest.AnyOptions())
	var places []string
	for _, e := range flowtest.ConfigErrors(err) {
		places = append(places, e.Position.String()+" "+e.Path)
	}
	require.Equal(t, []string{
		"3:31 selfservice.default_browser_return_url",
		"5:7 selfservice.allowed_return_urls[0]",
		"7:7 selfservice.allowed_return_urls[2]",
		"9:56 selfservice.flows.login.after.oidc.default_browser_return_url",
	}, places)
}

// A browser that gets the result of ReturnURL as a Location goes there, byte for byte.
func TestReturnURL_OverHTTP(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, returnsYAML), flowtest.AnyOptions())
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
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for query, want := range map[string]string{
		"":                              "/signed-in",
		"?return_to=/here/x%3Fy%26z%23": "/here/x?y&z#",
		"?return_to=https%3A%2F%2Fwww.example.org%2Fapp":                   "https://www.example.org/app",
		"?return_to=https%3A%2F%2Fwww.example.org%2Fapp%0d%0aX-Evil%3A%20": "",
		"?return_to=%2F%2Fevil.example":                                    "",
		"?return_to=%2Fhere%2F..%2F..%2Fx":                                 "",
		"?return_to=/here%5C%5Cevil.example":                               "",
	} {
		res, err := client.Get(srv.URL + "/" + query)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.Header.Get("Location"), query)
		require.Equal(t, want == "", res.StatusCode == http.StatusBadRequest, query)
	}
}

// A request may contain any of the vectors that internal/whatwg checks against a standard parser.
func TestReturnURL_Vectors(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, `
selfservice:
  default_browser_return_url: /home
  allowed_return_urls: [https://example.org/app, "https://*.example.net", "http://127.0.0.1:4455", /here]
`), flowtest.AnyOptions())
	require.NoError(t, err)
	request := func(to string) *http.Request {
		return httptest.NewRequest("GET", "/?return_to="+url.QueryEscape(to), nil)
	}
	accepted, refused := vectors(t, "return/accepted.txt"), vectors(t, "return/refused.txt")
	require.Greater(t, len(refused), 250)
	for _, to := range accepted {
		got, err := p.ReturnURL(request(to), flowhook.Login, flowhook.Password)
		require.NoError(t, err, "%q", to)
		require.Equal(t, to, got)
	}
	for _, to := range refused {
		if to == "" {
			continue // none
		}
		_, err := p.ReturnURL(request(to), flowhook.Login, flowhook.Password)
		require.ErrorIs(t, err, flowhook.ErrBadReturnURL, "%q", to)
	}
	for _, entry := range vectors(t, "return/entries_refused.txt") {
		quoted, err := json.Marshal(entry)
		require.NoError(t, err)
		cfg, err := flowhook.ParseConfig([]byte("selfservice: {default_browser_return_url: /home, allowed_return_urls: [" + string(quoted) + "]}"))
		if err != nil {
			continue // no YAML
		}
		if p, err = flowhook.New(cfg, flowtest.AnyOptions()); err == nil { // another scheme: it loads, and allows nothing
			_, err = p.ReturnURL(request(entry), flowhook.Login, flowhook.Password)
		}
		require.Error(t, err, "%q", entry)
	}
	t.Logf("return URLs: %d requested, %d of them hostile", len(accepted)+len(refused), len(refused))
}

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

const keptCharacters = "?q={a|b}^`\\#/r?100%{x}"

// URLs with characters that a browser keeps in a query or a fragment are used as configured.
func TestReturnURL_ConfiguredURLs(t *testing.T) {
	d := flowtest.NewSessionTest(t, charactersYAML, func(d *flowtest.SessionTest) { d.Options.VerificationURL = "" })
	require.NotContains(t, d.Log.String(), "URL", "a finding")

	to, err := d.Pipeline.ReturnURL(flowtest.NewRequest(), flowhook.Login, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, "https://www.example.org/home"+keptCharacters, to)

	v := flowtest.NewVisitor("alice")
	v.Identity.Addresses = []flowhook.Address{{Via: "email", Value: "alice@example.org"}}
	answered, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login,
		flowhook.Password,
		func(context.Context) error { return nil })
	require.NoError(t, err)
	require.True(t, answered)
	require.Equal(t, "/done"+keptCharacters, v.Recorder.Header().Get("Location"))

	mails := d.Mail.Take()
	require.Len(t, mails, 1)
	before, after, found := strings.Cut(mails[0].Link, "&token=")
	require.True(t, found, mails[0].Link)
	require.Equal(t, "https://www.example.org/confirm?q={a|b}^`\\", before)
	require.Regexp(t, `^[\w-]{22,}#/r\?100%\{x\}$`, after)
}

// A handler that passes the result of ReturnURL to http.Redirect redirects to it, for URLs that
// browsers produce.
func TestReturnURL_Requested(t *testing.T) {
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

// tempDir returns the directory of temporary files in this test.
func tempDir(t *testing.T) string {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	return dir
}

// formParsers are what a handler may have done with the form before it calls ReturnURL.
var formParsers = map[string]func(r *http.Request){
	"nothing":            func(*http.Request) {},
	"ParseForm":          func(r *http.Request) { _ = r.ParseForm() },
	"ParseMultipartForm": func(r *http.Request) { _ = r.ParseMultipartForm(32 << 20) },
	"FormValue":          func(r *http.Request) { r.FormValue("name") },
}

// The result for a multipart form does not depend on whether the handler has parsed it.
func TestReturnURL_MultipartForm(t *testing.T) {
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
		for parser, before := range formParsers {
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
func TestReturnURL_UnreadableMultipartForm(t *testing.T) {
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
					formParsers[parser](r)
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

// A host's limit may be above 32 MiB.
func TestReturnURL_MultipartFormWithinLimit(t *testing.T) {
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
func TestMiddleware_ParsesMultipartForm(t *testing.T) {
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
	srv := httptest.NewServer(p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
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
func TestMiddleware_NestedKeepsFiles(t *testing.T) {
	dir := tempDir(t)
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {allowed_return_urls: [/app], settings: {after: "+
		"[{hook: redirect, config: {to: /, allow_user_defined_redirect: true}}]}}"), flowhook.Options{})
	require.NoError(t, err)
	body, kind := multipartBody(t, []formPart{{"picture", "me.png", strings.Repeat("x", 3<<20)}})
	reached := 0
	srv := httptest.NewServer(p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		p.Middleware(flowhook.Settings)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			reached++
		})).ServeHTTP(w, r)
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

func TestReturnURL_LeavesFormUnchanged(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {allowed_return_urls: [/app]}"), flowhook.Options{})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/login?return_to=&return_to=/app", nil)
	require.NoError(t, r.ParseForm())
	to, err := p.ReturnURL(r, flowhook.Login, flowhook.FlowWide)
	require.NoError(t, err)
	require.Equal(t, "/app", to)
	require.Equal(t, url.Values{"return_to": {"", "/app"}}, r.Form)
}
