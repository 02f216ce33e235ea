package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// newTestHandler returns the handler for auth.yml. add may add hooks.
func newTestHandler(t *testing.T, timeout time.Duration, add func(cfg *flowhook.Config)) *chi.Mux {
	t.Helper()
	cfg, err := flowhook.LoadConfig("auth.yml")
	require.NoError(t, err)
	if add != nil {
		add(cfg)
	}
	handler, err := newHandler(cfg, timeout)
	require.NoError(t, err)
	return handler
}

func start(t *testing.T, timeout time.Duration, add func(cfg *flowhook.Config)) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(newTestHandler(t, timeout, add))
	t.Cleanup(server.Close)
	return server
}

// A browser is a client with a cookie jar. It does not follow redirects.
type browser struct {
	t *testing.T
	*http.Client
	base string
}

func newBrowser(t *testing.T, server *httptest.Server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := *server.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{t, &client, server.URL}
}

func (b *browser) do(method, path string, form url.Values, header ...string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequest(method, b.base+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := b.Do(r)
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, answer.Body.Close()) }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(b.t, err)
	return answer, string(body)
}

var alice = url.Values{"name": {"alice"}, "password": {"correct horse"}}

// add returns a function that adds a hook at login.
func add(phase flowhook.Phase, name string, hook flowhook.Hook) func(cfg *flowhook.Config) {
	return func(cfg *flowhook.Config) {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: phase}, name, hook)
	}
}

func TestLogin(t *testing.T) {
	server := start(t, time.Minute, nil)
	b := newBrowser(t, server)
	answer, _ := b.do("GET", "/", nil)
	require.Equal(t, "/login", answer.Header.Get("Location"))
	answer, body := b.do("GET", "/login", nil)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, body, `<form method="post" action="/login">`)

	for _, form := range []url.Values{{"name": {"alice"}, "password": {"wrong"}},
		{"name": {"nobody"}, "password": {"correct horse"}}, {}} {
		answer, body = b.do("POST", "/login", form)
		require.Equal(t, http.StatusForbidden, answer.StatusCode)
		require.Contains(t, body, "Wrong name or password.")
		require.Empty(t, answer.Cookies())
	}

	answer, _ = b.do("POST", "/login", alice)
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	require.Equal(t, "/", answer.Header.Get("Location"))
	require.Len(t, answer.Cookies(), 1)
	require.Equal(t, "__Host-session", answer.Cookies()[0].Name)
	answer, body = b.do("GET", "/", nil)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, body, "Hello, alice")

	answer, _ = b.do("POST", "/logout", nil)
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	answer, _ = b.do("GET", "/", nil)
	require.Equal(t, "/login", answer.Header.Get("Location"))
}

func TestLogin_RevokesOtherSessions(t *testing.T) {
	server := start(t, time.Minute, nil)
	first, second := newBrowser(t, server), newBrowser(t, server)
	first.do("POST", "/login", alice)
	second.do("POST", "/login", alice)
	answer, _ := first.do("GET", "/", nil)
	require.Equal(t, http.StatusSeeOther, answer.StatusCode, "the first session must have ended")
	answer, _ = second.do("GET", "/", nil)
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

func TestMaintenance(t *testing.T) {
	b := newBrowser(t, start(t, time.Minute, add(flowhook.Before, "redirect", flowhook.Redirect("/maintenance"))))
	for _, method := range []string{"GET", "POST"} {
		answer, _ := b.do(method, "/login", alice)
		require.Equal(t, http.StatusFound, answer.StatusCode)
		require.Equal(t, "/maintenance", answer.Header.Get("Location"))
		require.Empty(t, answer.Cookies())
	}
	answer, body := b.do("GET", "/maintenance", nil)
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.Contains(t, body, "Back soon")
}

func TestCrossOrigin(t *testing.T) {
	b := newBrowser(t, start(t, time.Minute, nil))
	answer, _ := b.do("POST", "/login", alice, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	require.Empty(t, answer.Cookies())
}

// TestCompress_HookAnswers checks that the answer of a hook is compressed like that of a handler.
func TestCompress_HookAnswers(t *testing.T) {
	text := "<!DOCTYPE html><title>no</title>" + strings.Repeat("not today ", 100)
	b := newBrowser(t, start(t, time.Minute, add(flowhook.BeforePersist, "refuse", flowhook.HookFunc(
		func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.Header().Set("Content-Type", "text/html")
			x.Writer.WriteHeader(http.StatusForbidden)
			_, err := io.WriteString(x.Writer, text)
			return err
		}))))
	answer, body := b.do("POST", "/login", alice, "Accept-Encoding", "gzip")
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	require.Equal(t, "gzip", answer.Header.Get("Content-Encoding"))
	unzipped, err := gzip.NewReader(strings.NewReader(body))
	require.NoError(t, err)
	plain, err := io.ReadAll(unzipped)
	require.NoError(t, err)
	require.Equal(t, text, string(plain))
	require.Empty(t, answer.Cookies())
}

// TestTimeout checks that a timeout ends the context of a hook, and that the login is rolled back.
func TestTimeout(t *testing.T) {
	b := newBrowser(t, start(t, time.Second, add(flowhook.After, "slow", flowhook.HookFunc(
		func(ctx context.Context, _ *flowhook.Exchange) error {
			<-ctx.Done()
			return ctx.Err()
		}))))
	answer, body := b.do("POST", "/login", alice)
	require.Equal(t, http.StatusGatewayTimeout, answer.StatusCode)
	require.Empty(t, body)
	require.Empty(t, answer.Cookies())
	answer, _ = b.do("GET", "/", nil)
	require.Equal(t, "/login", answer.Header.Get("Location"), "the user must not be signed in")
}

// TestPanics checks that the handler answers the panic of a hook, Recoverer answers that of a
// handler, and ErrAbortHandler reaches the server.
func TestPanics(t *testing.T) {
	for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.BeforePersist, flowhook.After} {
		b := newBrowser(t, start(t, time.Minute, add(phase, "broken", flowhook.HookFunc(
			func(context.Context, *flowhook.Exchange) error { panic("on purpose") }))))
		answer, body := b.do("POST", "/login", alice)
		require.Equal(t, http.StatusInternalServerError, answer.StatusCode)
		require.Contains(t, body, "Your changes may not have been saved.")
		require.Empty(t, answer.Cookies())
	}

	handler := newTestHandler(t, time.Minute, nil)
	handler.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	answer, _ := newBrowser(t, server).do("GET", "/panic", nil)
	require.Equal(t, http.StatusInternalServerError, answer.StatusCode)

	b := newBrowser(t, start(t, time.Minute, add(flowhook.After, "abort", flowhook.HookFunc(
		func(context.Context, *flowhook.Exchange) error { panic(http.ErrAbortHandler) }))))
	_, err := b.PostForm(b.base+"/login", alice)
	require.ErrorIs(t, err, io.EOF, "the connection was aborted")
}

// TestMain runs the service if a test started this binary as the service.
func TestMain(m *testing.M) {
	if os.Getenv("CHI_RUN_MAIN") != "" {
		main()
		return
	}
	rounds = 1000
	os.Exit(m.Run())
}

// TestMain_Command starts the service as a command and opens the URL that it logs.
func TestMain_Command(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "CHI_RUN_MAIN=1")
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	var target string
	for lines := bufio.NewScanner(out); target == "" && lines.Scan(); { // skips the findings about auth.yml
		target = regexp.MustCompile(`http://\S+/login`).FindString(lines.Text())
	}
	require.NotEmpty(t, target)
	answer, err := http.Get(target)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
}
