package flowhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
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

func TestTheDefaultReturnURL(t *testing.T) {
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

// Kratos' names for the same, in its three layouts.
func TestReturnURLsInEachLayout(t *testing.T) {
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
		got, err := returnURL(t, yaml, httptest.NewRequest("GET", "/?return_to=/app/x", nil), flowhook.Login, flowhook.OIDC)
		require.NoError(t, err, yaml)
		require.Equal(t, "/app/x", got, yaml)
		_, err = returnURL(t, yaml, httptest.NewRequest("GET", "/?return_to=/other", nil), flowhook.Login, flowhook.OIDC)
		require.ErrorIs(t, err, flowhook.ErrBadReturnURL, yaml)
	}
}

// What a browser sends: as a query, as a form, or both.
func TestWhereReturnToIsReadFrom(t *testing.T) {
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
		{"the query", form("/?return_to="+escaped, ""), good},
		{"the form", form("/", "return_to="+escaped), good},
		{"both, the same", form("/?return_to="+escaped, "return_to="+escaped), good},
		{"both, another", form("/?return_to="+escaped, "return_to=/here"), ""},
		{"twice in the query", form("/?return_to=/here&return_to=/here/x", ""), ""},
		{"twice in the query, the same", form("/?return_to=/here&return_to=/here", ""), "/here"},
		{"the good one and a bad one", form("/?return_to="+escaped+"&return_to="+url.QueryEscape(bad), ""), ""},
		{"an empty one beside it", form("/?return_to=&return_to=/here", ""), "/here"},
		{"an empty one", form("/?return_to=", "return_to="), "/signed-in"},
		{"another case is another name", form("/?Return_To="+url.QueryEscape(bad), ""), "/signed-in"},
		{"a semicolon separates nothing", form("/?a;return_to="+url.QueryEscape(bad), ""), "/signed-in"},
		{"what is malformed is not there", form("/?return_to=%zz", ""), "/signed-in"},
		{"a bad one in the query", form("/?return_to="+url.QueryEscape(bad), ""), ""},
		{"a bad one in the form", form("/", "return_to="+url.QueryEscape(bad)), ""},
		{"a subdomain", form("/?return_to=https://a.b.example.net/x", ""), "https://a.b.example.net/x"},
		{"the default itself", form("/?return_to=/signed-in", ""), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := returnURL(t, returnsYAML, row.r, flowhook.Login, flowhook.Password)
			if row.want == "" {
				require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
				require.NotContains(t, err.Error(), "example", "the URL may hold anything")
				require.Empty(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

// The form is parsed once. Who parses it again, the handler, is told nothing of what went wrong the first time.
func TestAFormThatCannotBeReadIsRefusedBeforeTheHandlerTakesItForWhole(t *testing.T) {
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
			require.NotContains(t, said.Error(), "%zz", "it may be of a password")
		})
	}
}

// A handler that has parsed the form itself has seen what went wrong, and what it has read counts.
func TestAFormThatTheHandlerHasParsedIsTakenAsItIs(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("return_to=/here&bio=%zz"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.Error(t, r.ParseForm())
	got, err := returnURL(t, returnsYAML, r, flowhook.Login, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, "/here", got)
}

// What is no form is left to the handler, to the last byte.
func TestABodyThatIsNoFormIsNotTouched(t *testing.T) {
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

// Where the file allows nothing, nothing that a request names is taken, instead of being ignored.
func TestNothingIsAllowedByDefault(t *testing.T) {
	for _, yaml := range []string{"selfservice: {default_browser_return_url: /home}", "selfservice: {default_browser_return_url: /home, allowed_return_urls: []}"} {
		_, err := returnURL(t, yaml, httptest.NewRequest("GET", "/?return_to=/home", nil), flowhook.Login, flowhook.FlowWide)
		require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
	}
}

// Of an empty list, nobody could name anything.
func TestARedirectThatAsksNeedsAListWithSomethingInIt(t *testing.T) {
	const text = "selfservice: {allowed_return_urls: %s, login: {before: [{hook: redirect, config: {to: /x, allow_user_defined_redirect: true}}]}}"
	require.NoError(t, flowtest.Build(fmt.Sprintf(text, "[/app]"), flowtest.AnyOptions()))
	require.ErrorContains(t, flowtest.Build(fmt.Sprintf(text, "[]"), flowtest.AnyOptions()), "there are no return URLs that a user could name")
	require.Len(t, flowtest.ConfigErrors(flowtest.Build(fmt.Sprintf(text, "[1]"), flowtest.AnyOptions())), 1, "one mistake, one error")
}

func TestBadReturnURLsInTheFile(t *testing.T) {
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

// In a browser's hands: what ReturnURL gives is a Location that leads there, byte for byte.
func TestReturnURLOverTheWire(t *testing.T) {
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

// The vectors that internal/whatwg checks against a parser of the standard, as a request brings them.
func TestReturnURLVectors(t *testing.T) {
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
	t.Logf("return URLs: %d that requests name, %d of them hostile", len(accepted)+len(refused), len(refused))
}
