package hookpage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/stretchr/testify/require"
)

func TestHandler_Headers(t *testing.T) {
	server := httptest.NewServer(hookpage.Handler(build(t, nil, options()), hookpage.Options{}))
	defer server.Close()
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions} {
		r, err := http.NewRequest(method, server.URL, nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		answer.Body.Close()
		h := answer.Header
		require.Equal(t, "no-store", h.Get("Cache-Control"))
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		require.Equal(t, "DENY", h.Get("X-Frame-Options"))
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"))
		require.Regexp(t, `^default-src 'none'; style-src 'sha256-[^' ]+'; img-src data:; `+
			`base-uri 'none'; form-action 'self'; frame-ancestors 'none'$`, h.Get("Content-Security-Policy"))
		switch method {
		case http.MethodGet:
			require.Equal(t, "text/html; charset=utf-8", h.Get("Content-Type"))
			require.NotEmpty(t, body)
		case http.MethodHead:
			require.Equal(t, http.StatusOK, answer.StatusCode)
			require.Positive(t, answer.ContentLength)
		default:
			require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
			require.Equal(t, "GET, HEAD", h.Get("Allow"))
			require.NotContains(t, string(body), "<")
		}
	}
}

func TestHandler_LoadsNothing(t *testing.T) {
	w := httptest.NewRecorder()
	hookpage.Handler(build(t, nil, options()), hookpage.Options{}).ServeHTTP(w,
		httptest.NewRequest(http.MethodGet, "/", nil))
	page := w.Body.String()
	styles := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(page, -1)
	require.Len(t, styles, 1)
	sum := sha256.Sum256([]byte(styles[0][1]))
	require.Contains(t, w.Header().Get("Content-Security-Policy"),
		"'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", "the policy allows only the page's style")
	require.NotRegexp(t, `(?i)<script|\sstyle=|\son\w+=|url\(|@import|\ssrc=`, page)
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		require.Regexp(t, `^(#|\?|data:,$)`, link[1])
	}
}

func TestHandler_NoHooks(t *testing.T) {
	for _, cfg := range []*flowhook.Config{nil, {}} {
		text := words(get(t, build(t, cfg, flowhook.Options{})))
		inOrder(t, text, "Findings none.", "No hooks No hooks are configured")
		require.NotContains(t, text, "Dry run")
	}
}

func TestHandler_ShowsNoSecret(t *testing.T) {
	opts := options()
	opts.Secrets, opts.Wrap = nil, hookpage.NewRecorder().Wrap
	page := get(t, build(t, parse(t, `
secrets: {session: [`+secret+`], cookie: [canary-and-another-secret]}
session: {cookie: {same_site: None}}
selfservice:
  login:
    before:
      - {hook: note, config: {key: canary-config}}
    after:
      - {hook: redirect, config: {to: "https://www.example.org/a?mail=canary%40example.org#canary"}}
      - {hook: session}
  registration:
    after:
      - {hook: redirect, config: {to: "http://www.example.org/b?token=canary"}}
`), opts))
	require.NotContains(t, page, "canary")
	inOrder(t, page, "https://www.example.org/a", "http://www.example.org/b")
}

// The file, and so a name in it, may come from somebody else.
func TestHandler_EscapesNames(t *testing.T) {
	const evil = `</style></code><script>alert(1)</script><img src=x onerror="alert(1)">'"{{.}}`
	cfg := &flowhook.Config{}
	cfg.Add(flowhook.Point{Flow: evil, Phase: flowhook.After, Strategy: evil}, evil, idle)
	cfg.Add(flowhook.Point{Flow: evil, Phase: flowhook.After}, evil, flowhook.Redirect("/a'b"))
	cfg.Add(flowhook.Point{Flow: evil, Phase: flowhook.After}, evil, idle)
	opts := options()
	opts.Flows, opts.Strategies = []flowhook.Flow{evil}, []flowhook.Strategy{evil}
	page := get(t, build(t, cfg, opts))
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, "<img")
	require.NotContains(t, page, `="alert`)
	require.Equal(t, 1, strings.Count(page, "</style>"))
	require.Contains(t, words(page), evil+" by "+evil)
	require.Contains(t, words(page), "A custom hook without a description.")
}

func TestHandler_Reload(t *testing.T) {
	p := build(t, parse(t, `{selfservice: {login: {after: [{hook: audit}]}}}`), options())
	handler := hookpage.Handler(p, hookpage.Options{})
	show := func() string {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w.Body.String()
	}
	require.Contains(t, show(), ">login</h3>")
	require.NoError(t, p.Reload(parse(t, `{selfservice: {logout: {after: [{hook: audit}]}}}`)))
	require.Contains(t, show(), ">logout</h3>")
	require.NotContains(t, show(), ">login</h3>")
}

// Each page shows one configuration, even during a reload.
func TestHandler_ConcurrentReload(t *testing.T) {
	one := parse(t, `{selfservice: {login: {after: [{hook: redirect, config: {to: /one}}, {hook: audit}]}}}`)
	two := parse(t, `{selfservice: {login: {before: [{hook: redirect, config: {to: /two}}]}}}`)
	p := build(t, one, options())
	handler := hookpage.Handler(p, hookpage.Options{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for range 50 {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				text := words(w.Body.String())
				one, two := strings.Contains(text, "/one"), strings.Contains(text, "/two")
				found := "Findings 1 warning and 0 notes"
				if two {
					found = "Findings 0 warnings and 1 note"
				}
				if one == two || !strings.Contains(text, found) {
					t.Errorf("the page mixes two configurations: %s", text)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { readers.Wait(); close(done) }()
	for i := 0; ; i++ {
		cfg := one
		if i%2 == 0 {
			cfg = two
		}
		if err := p.Reload(cfg); err != nil {
			t.Error(err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestHandler_NilPipeline(t *testing.T) {
	require.PanicsWithValue(t, "hookpage: Handler of a nil pipeline",
		func() { hookpage.Handler(nil, hookpage.Options{}) })
}

func TestHandler_Title(t *testing.T) {
	p := build(t, nil, options())
	page := get(t, p, hookpage.Options{Title: "Sign-in <hooks>"})
	require.Contains(t, page, "<title>Sign-in &lt;hooks&gt;</title>")
	require.Contains(t, page, "<h1>Sign-in &lt;hooks&gt;</h1>")
}
