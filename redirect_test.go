package flowhook_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// vectors reads a list in testdata.
func vectors(t testing.TB, name string) []string { return testkit.Vectors(t, "testdata/"+name) }

func TestRedirect_VectorCount(t *testing.T) {
	accepted, refused := vectors(t, "redirect/accepted.txt"), vectors(t, "redirect/refused.txt")
	require.GreaterOrEqual(t, len(accepted), 60)
	require.GreaterOrEqual(t, len(accepted)+len(refused), 280)
}

// The test reads the response from the socket, because a client could change the header.
func TestRedirect_TargetIsSentAsConfigured(t *testing.T) {
	vectors := vectors(t, "redirect/accepted.txt")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.URL.Query().Get("vector"))
		if err == nil {
			err = flowhook.Redirect(vectors[i]).Run(r.Context(), &flowhook.Exchange{Writer: w, Request: r})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	defer server.Close()

	const form = "return_to=https%3A%2F%2Fother.example&to=/elsewhere"
	for i, to := range vectors {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			t.Run(method+" "+to, func(t *testing.T) {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				require.NoError(t, err)
				defer conn.Close()
				fmt.Fprintf(conn, "%s /deep/below/?vector=%d&%s HTTP/1.1\r\nHost: other.example\r\nReferer: https://other.example/\r\n"+
					"X-Forwarded-Host: other.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
					method, i, form, len(form), form)
				var head []string
				lines := bufio.NewScanner(conn)
				for lines.Scan() && lines.Text() != "" {
					head = append(head, lines.Text())
				}
				require.NotEmpty(t, head)
				require.Equal(t, "HTTP/1.1 302 Found", head[0], head)
				require.Contains(t, head, "Location: "+to)
				require.False(t, lines.Scan(), "a body: %q", lines.Text())
			})
		}
	}
}

func TestRedirect_RejectedTargets(t *testing.T) {
	for _, to := range vectors(t, "redirect/refused.txt") {
		t.Run(strconv.Quote(to), func(t *testing.T) {
			w := httptest.NewRecorder()
			err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: w})
			require.ErrorContains(t, err, "the target must be an absolute http or https URL, or a path on the same site")
			require.Empty(t, w.Result().Header)
		})
	}
}

func TestRedirect_ErrorTexts(t *testing.T) {
	const rule = "the target must be an absolute http or https URL, or a path on the same site such as /maintenance; "
	for to, want := range map[string]string{
		"":                         `"" is empty`,
		"//evil.example":           `"//evil.example" names another host without a scheme; put https: in front`,
		`/\evil.example`:           `"/\\evil.example" contains a backslash, which browsers treat as a slash`,
		"/a/%2E./b":                `"/a/%2E./b" contains a dot segment, which browsers resolve, so that the target leads elsewhere: "%2E."`,
		"/a b":                     `"/a b" contains a character that must be percent-encoded: " "`,
		"/a\r\nb":                  `"/a\r\nb" contains a control character: "\r"`,
		"/a%0ab":                   `"/a%0ab" contains an encoded control character: "%0a"`,
		"/100%":                    `"/100%" contains a % that does not begin an escape; write it as %25: "%"`,
		"/é":                       `"/é" is not ASCII; write a host in its xn-- form, and percent-encode the rest`,
		"maintenance":              `"maintenance" starts with neither a scheme nor a slash`,
		"javascript:alert(1)":      `"javascript:alert(1)" has another scheme: "javascript"`,
		"https:/example.com":       `"https:/example.com" has no host; write two slashes and a host after the scheme`,
		"https://example.com:/":    `"https://example.com:/" has a colon without a port; remove it`,
		"https://example.com:070/": `"https://example.com:070/" has a port that is not a number from 1 to 65535 without leading zeros: "070"`,
		"https://example.com:x/":   `"https://example.com:x/" is not a URL: "invalid port \":x\" after host"`,
		"https://0x7f.1/":          `"https://0x7f.1/" has a host that may be read as another IPv4 address; write four decimal numbers such as 127.0.0.1: "0x7f.1"`,
		"https://[::01]/":          `"https://[::01]/" has an IPv6 address that is not in its shortest form, is mapped, or has a zone: "::01"`,
		"https://evil[::1]/":       `"https://evil[::1]/" has a host with a [ that is not its first character: "evil[::1]"`,
		"/a?b=c d":                 `"/a?..." contains a character that must be percent-encoded: " "`,
		"/a#`":                     "\"/a#...\" contains a character that must be percent-encoded: \"`\"",
		"https://a+b/":             `"https://a+b/" has an invalid host; write labels of letters, digits, inner hyphens and underscores, separated by dots: "a+b"`,
		"https://u:p@example.com/": `this one (not shown, as it contains an @) contains user info, which browsers may send and readers may mistake for the host; remove it`,
	} {
		err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder()})
		require.EqualError(t, err, rule+want)
	}
}

func TestRedirect_PasswordIsHidden(t *testing.T) {
	for _, to := range []string{
		"https://user:hunter2@example.com/", "https://user:hunter2/x@example.com/", "https://hunter2:x^y@example.com/",
		"https:\\\\user:hunter2@example.com/", "//user:hunter2@example.com/", "hunter2://user@example.com/",
		"https://user:x%zhunter2@example.com/", "user:hunter2@example.com", "https://user:1\thunter2@example.com/",
		"https://user:../hunter2/..@example.com/", "https://[hunter2@example.com/", "https://hunter2:@[::01]/",
	} {
		err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder()})
		require.Error(t, err, to)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "user:")
	}
}

// FuzzRedirect checks what can be known of an accepted target without a WHATWG parser. The nested
// module internal/whatwg has one.
func FuzzRedirect(f *testing.F) {
	for _, name := range []string{"accepted.txt", "refused.txt"} {
		for _, to := range vectors(f, "redirect/"+name) {
			f.Add(to)
		}
	}
	base, err := url.Parse("https://base.example/a/b?c#d")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, to string) {
		w := httptest.NewRecorder()
		err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: w})
		if err != nil {
			require.Empty(t, w.Result().Header)
			require.False(t, strings.Contains(to, "@") && strings.Contains(err.Error(), strconv.Quote(to)),
				"the error shows what may be a password")
			return
		}
		require.Equal(t, http.StatusFound, w.Code)
		require.Equal(t, []string{to}, w.Result().Header["Location"])
		require.Zero(t, w.Body.Len())
		require.False(t, strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7f }))

		to, _, _ = strings.Cut(to, "#") // net/url is stricter about escapes there than a browser
		require.NotContains(t, to[:strings.IndexAny(to+"?", "?")], `\`)
		u, err := url.Parse(to)
		require.NoError(t, err)
		require.Nil(t, u.User)
		require.Empty(t, u.Opaque)
		host, path := base.Host, to
		if to[0] != '/' {
			scheme, rest, found := strings.Cut(to, "://")
			require.True(t, found)
			require.Contains(t, []string{"http", "https"}, strings.ToLower(scheme))
			end := strings.IndexAny(rest+"/", "/?#")
			host, path = rest[:end], rest[end:]
			require.NotContains(t, host, "%")
		}
		require.Equal(t, "", strings.Trim(path[:min(1, len(path))], "/?#"))
		path = path[:strings.IndexAny(path+"?", "?#")]
		resolved := base.ResolveReference(u)
		require.Equal(t, host, resolved.Host)
		require.Equal(t, path, resolved.EscapedPath())
		again, err := url.Parse(resolved.String())
		require.NoError(t, err)
		require.Equal(t, host, again.Host)
		_, err = url.Parse("https://" + host)
		require.NoError(t, err)
	})
}

func ExampleRedirect() {
	w := httptest.NewRecorder()
	fmt.Println(flowhook.Redirect("/maintenance").Run(context.Background(), &flowhook.Exchange{Writer: w}), w.Code,
		w.Header()["Location"])

	fmt.Println(flowhook.Redirect("//other.example").Run(context.Background(), &flowhook.Exchange{Writer: w}))

	// Output:
	// <nil> 302 [/maintenance]
	// the target must be an absolute http or https URL, or a path on the same site such as /maintenance; "//other.example" names another host without a scheme; put https: in front
}

func TestRedirect_Config(t *testing.T) {
	const returns = "selfservice: {allowed_return_urls: [/app], "
	for _, row := range []struct{ name, file, config, target, key, problem string }{
		{"to", "", "{to: https://www.ory.sh/maintenance}", "https://www.ory.sh/maintenance", "", ""},
		{"default_redirect_url", "", "{default_redirect_url: /x}", "/x", "", ""},
		{"return_to_off", "", "{to: /x, allow_user_defined_redirect: false}", "/x", "", ""},
		{"return_to_without_urls", "", "{to: /x, allow_user_defined_redirect: true}", "",
			".allow_user_defined_redirect", "selfservice.allowed_return_urls"},
		{"return_to_with_urls", returns, "{to: /x, allow_user_defined_redirect: true}", "/x", "", ""},
		{"both", "", "{to: /x, default_redirect_url: /y}", "", ".default_redirect_url", `"to" is set as well`},
		{"both_one_empty", "", `{to: "/z", default_redirect_url: ""}`, "", ".default_redirect_url",
			`"to" is set as well`},
		{"none", "", "{}", "", "", `"to" is missing`},
		{"null", "", "{to: }", "", ".to", "found null"},
		{"empty", "", `{to: ""}`, "", ".to", "is empty"},
		{"bad_target", "", "{to: //other.example}", "", ".to", "another host"},
		{"bad_target_under_the_other_key", "", "{default_redirect_url: //other.example}", "", ".default_redirect_url",
			"another host"},
		{"misspelled_key", "", "{too: /x}", "", ".too", `unknown key "too"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := row.file
			if file == "" {
				file = "selfservice: {"
			}
			p, err := flowhook.New(flowtest.Parse(t, file+"login: {before: [{hook: redirect, config: "+row.config+
				"}]}}"), flowhook.Options{})
			if row.problem != "" {
				var first *flowhook.ConfigError
				require.ErrorAs(t, err, &first)
				require.Equal(t, "selfservice.login.before[0].config"+row.key, first.Path)
				require.Contains(t, first.Problem, row.problem)
				return
			}
			require.NoError(t, err)
			for _, hooks := range p.Plan().Points() {
				require.Equal(t, row.target, hooks[0].Target)
				require.Equal(t, row.file != "", hooks[0].FollowsReturnTo)
			}
		})
	}
}

func TestRedirect_ConfigReportsAllProblems(t *testing.T) {
	_, err := flowhook.New(flowtest.Parse(t, "selfservice: {login: {before: [{hook: redirect, config: "+
		"{to: foo, default_redirect_url: /x, allow_user_defined_redirect: true}}]}}"), flowhook.Options{})
	var paths []string
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		paths = append(paths, err.(*flowhook.ConfigError).Path)
	}
	const config = "selfservice.login.before[0].config."
	require.Equal(t, []string{config + "to", config + "default_redirect_url", config + "allow_user_defined_redirect"},
		paths)
}

func TestRedirect_NeedsNoTransaction(t *testing.T) {
	h := flowtest.NewService(t, flowtest.Document(t, "03-login-after-redirect.yml"), flowtest.WithStoreDown)
	rec := httptest.NewRecorder()
	x := &flowhook.Exchange{Writer: rec, Request: flowtest.NewRequest(), Identity: flowtest.Alice.Identity()}
	handled, err := h.Pipeline.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.After,
		flowhook.Password)
	require.NoError(t, err)
	require.True(t, handled)
	require.Equal(t, "https://url-to-redirect/to", rec.Header().Get("Location"))
}

// A redirect follows return_to, as a client of a real server sees it.
func TestRedirect_FollowsReturnTo(t *testing.T) {
	const good, bad = "https://www.example.org/app/x?y=z", "https://www.example.org.evil.example/app"
	for _, row := range []struct {
		name, path, form string
		status           int
		location         string
		ran              int // the note hook
		saved            bool
	}{
		{"no return_to", "/login", "", http.StatusFound, "/home", 2, true},
		{"good one", "/login?return_to=" + url.QueryEscape(good), "", http.StatusFound, good, 2, true},
		{"allowed URL in the form", "/login", "return_to=" + url.QueryEscape(good), http.StatusFound, good, 2, true},
		{"bad URL is rejected before any hook", "/login?return_to=" + url.QueryEscape(bad), "", http.StatusBadRequest,
			"", 0, false},
		{"a bad one in the form", "/login", "return_to=" + url.QueryEscape(bad), http.StatusBadRequest, "", 0, false},
		{"two URLs", "/login?return_to=" + url.QueryEscape(good), "return_to=" + url.QueryEscape(bad),
			http.StatusBadRequest, "", 0, false},
		{"redirect that ignores return_to", "/settings?return_to=" + url.QueryEscape(bad), "", http.StatusFound,
			"/settings", 0, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var ran []string
			saved := false
			opts := noting(&ran)
			opts.Store = memstore.New()
			p, err := flowhook.New(flowtest.Parse(t, asksYAML), opts)
			require.NoError(t, err)
			mux := http.NewServeMux()
			for path, flow := range map[string]flowhook.Flow{"/login": flowhook.Login, "/settings": flowhook.Settings} {
				mux.Handle(path, p.Middleware(flow)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					handled, err := p.Run(r.Context(), flow, flowhook.BeforePersist, flowhook.Password)
					require.NoError(t, err)
					require.False(t, handled)
					saved = true
					if handled, err = p.Run(r.Context(), flow, flowhook.After, flowhook.Password); err != nil ||
						!handled {
						http.Error(w, "not as expected", http.StatusTeapot)
					}
				})))
			}
			srv := httptest.NewServer(mux)
			defer srv.Close()
			client := srv.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			res, err := client.Post(srv.URL+row.path, "application/x-www-form-urlencoded", strings.NewReader(row.form))
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, row.status, res.StatusCode)
			require.Equal(t, row.location, res.Header.Get("Location"))
			require.NotContains(t, string(body), "evil")
			require.Equal(t, row.saved, saved)
			require.Len(t, ran, row.ran)
		})
	}
}

// Without Middleware, Complete is the first to read return_to. It saves nothing, and the hooks at
// failed do not run.
func TestComplete_BadReturnURLIsRejectedBeforeSave(t *testing.T) {
	var ran []string
	yaml := strings.Replace(asksYAML, "before: {hooks: [{hook: note}]}", "", 1)
	opts := noting(&ran)
	opts.Store = memstore.New()
	p, err := flowhook.New(flowtest.Parse(t, yaml), opts)
	require.NoError(t, err)
	complete := func(to string) (*flowhook.Exchange, *httptest.ResponseRecorder, bool, error) {
		rec := httptest.NewRecorder()
		x := &flowhook.Exchange{Writer: rec, Request: httptest.NewRequest("POST", "/?return_to="+url.QueryEscape(to),
			nil)}
		saved := false
		_, err := p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password,
			func(context.Context) error {
				saved = true
				return nil
			})
		return x, rec, saved, err
	}
	for _, run := range []flowhook.Phase{flowhook.BeforePersist, flowhook.After} {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(),
			Request: httptest.NewRequest("POST", "/?return_to=//evil.example", nil)}
		_, err := p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, run, flowhook.Password)
		require.ErrorIs(t, err, flowhook.ErrBadReturnURL, "%s", run)
	}
	_, rec, saved, err := complete("https://evil.example/")
	require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
	require.False(t, saved)
	require.Empty(t, rec.Header())
	require.Empty(t, ran, "a hook has run")

	x, rec, saved, err := complete("https://www.example.org/app")
	require.NoError(t, err)
	require.True(t, saved)
	require.Equal(t, "https://www.example.org/app", rec.Header().Get("Location"))
	require.Equal(t, 302, rec.Code)
	require.True(t, x.Answered())
}

// Hooks cannot change where the user goes: that is decided before anything is saved.
func TestReturnURL_ReadAtBeginning(t *testing.T) {
	for name, change := range map[string]string{"another allowed URL": "https://www.example.org/app/other",
		"a bad one": "https://evil.example/"} {
		t.Run(name, func(t *testing.T) {
			p, err := flowhook.New(flowtest.Parse(t, strings.ReplaceAll(asksYAML, "note", "change")), flowhook.Options{
				Hooks: map[string]flowhook.HookFactory{"change": func(flowhook.Point, func(any) error) (flowhook.Hook,
					error) {
					return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
						x.Request.Form.Set("return_to", change)
						return nil
					}), nil
				}}})
			require.NoError(t, err)
			rec := httptest.NewRecorder()
			x := &flowhook.Exchange{Writer: rec, Request: httptest.NewRequest("POST",
				"/?return_to=https://www.example.org/app/mine", nil)}
			ctx := flowhook.NewContext(t.Context(), x)
			handled, err := p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
			require.NoError(t, err)
			require.False(t, handled)
			x.Request.Form.Set("return_to", "https://www.example.org/app/mine")
			handled, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
			require.NoError(t, err)
			require.True(t, handled)
			require.Equal(t, "https://www.example.org/app/mine", rec.Header().Get("Location"))
		})
	}
}

// After a failure, the user goes where the file says if return_to is not allowed.
func TestRedirect_FailedIgnoresBadReturnURL(t *testing.T) {
	for to, want := range map[string]string{"": "/again",
		"https://www.example.org/app/x": "https://www.example.org/app/x", "https://evil.example": "/again"} {
		p, err := flowhook.New(flowtest.Parse(t, `
selfservice:
  allowed_return_urls: [https://www.example.org/app]
  login: {failed: [{hook: redirect, config: {to: /again, allow_user_defined_redirect: true}}]}
`), flowhook.Options{})
		require.NoError(t, err)
		rec := httptest.NewRecorder()
		x := &flowhook.Exchange{Writer: rec, Request: httptest.NewRequest("POST", "/?return_to="+url.QueryEscape(to),
			nil), Err: errors.New("wrong password")}
		handled, err := p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Failed, flowhook.Password)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, want, rec.Header().Get("Location"))
	}
}

const asksYAML = `
selfservice:
  allowed_return_urls: [https://www.example.org/app]
  flows:
    login:
      before: {hooks: [{hook: note}]}
      after: {password: {hooks: [{hook: note}, {hook: redirect, config: {to: /home, allow_user_defined_redirect: true}}]}}
      failed: [{hook: note}]
    settings: {after: [{hook: redirect, config: {to: /settings}}]}
`
