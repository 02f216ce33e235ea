package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// TestMain runs the service if a test started this binary as the service.
func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	if os.Getenv("GIN_RUN_MAIN") != "" {
		main()
		return
	}
	rounds = 1000
	os.Exit(m.Run())
}

// A server is the service with a clock that the test sets.
type server struct {
	*httptest.Server
	clock atomic.Int64 // in microseconds
}

// start serves auth.yml. change may modify the config, and build may replace the engine; both may
// be nil.
func start(t *testing.T, change func(cfg *flowhook.Config), build func(s *service) *gin.Engine) *server {
	t.Helper()
	cfg, err := flowhook.LoadConfig("auth.yml")
	require.NoError(t, err)
	if change != nil {
		change(cfg)
	}
	if build == nil {
		build = func(s *service) *gin.Engine { return s.engine() }
	}
	s := &server{}
	s.clock.Store(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro())
	service, err := newService(cfg, func() time.Time { return time.UnixMicro(s.clock.Load()) })
	require.NoError(t, err)
	s.Server = httptest.NewTLSServer(service.protected(build(service)))
	t.Cleanup(s.Close)
	return s
}

// withHook returns a function that adds a hook at login.
func withHook(phase flowhook.Phase, hook flowhook.Hook) func(cfg *flowhook.Config) {
	return func(cfg *flowhook.Config) {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: phase}, "added", hook)
	}
}

// A client is a mobile client or, with a cookie jar, a page in a browser.
type client struct {
	t *testing.T
	*http.Client
	base string
}

func newClient(t *testing.T, s *server, jar bool) *client {
	t.Helper()
	c := *s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if jar {
		var err error
		c.Jar, err = cookiejar.New(nil)
		require.NoError(t, err)
	}
	return &client{t, &c, s.URL}
}

// An answer is a response with the fields of its body.
type answer struct {
	*http.Response `json:"-"`

	Name        string `json:"name"`
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Code        string `json:"code"`
	Detail      string `json:"detail"`
}

// do sends a request. It checks that the answer is JSON and must not be cached.
func (c *client) do(method, path, body string, header ...string) (a answer) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a.Response, err = c.Do(r)
	require.NoError(c.t, err)
	defer func() { require.NoError(c.t, a.Body.Close()) }()
	text, err := io.ReadAll(a.Body)
	require.NoError(c.t, err)
	want := "application/json; charset=utf-8"
	if a.StatusCode >= 400 {
		want = "application/problem+json"
	}
	require.Equal(c.t, want, a.Header.Get("Content-Type"), "%s", text)
	require.NoError(c.t, json.Unmarshal(text, &a), "%s", text)
	require.Equal(c.t, "no-store", a.Header.Get("Cache-Control"))
	require.Equal(c.t, a.StatusCode >= 400 && a.StatusCode < 500, a.Code != "" && a.Detail != "", "%s", text)
	require.Equal(c.t, a.StatusCode == http.StatusUnauthorized, a.Header.Get("WWW-Authenticate") != "")
	return a
}

func (c *client) requireRefused(a answer, status int, reason string) {
	c.t.Helper()
	require.Equal(c.t, status, a.StatusCode)
	require.Equal(c.t, reason, a.Code)
	require.Empty(c.t, a.Cookies())
	require.Empty(c.t, a.AccessToken)
}

const (
	alice = `{"name":"alice","password":"correct horse"}`
	bob   = `{"name":"bob","password":"battery staple"}`
	wrong = `{"name":"alice","password":"wrong"}`
)

func TestSession(t *testing.T) {
	c := newClient(t, start(t, nil, nil), true)
	c.requireRefused(c.do("GET", "/me", ""), 401, "not_signed_in")
	a := c.do("POST", "/session", alice)
	require.Equal(t, 200, a.StatusCode)
	require.Len(t, a.Cookies(), 1)
	require.Equal(t, "__Host-session", a.Cookies()[0].Name)
	require.True(t, a.Cookies()[0].HttpOnly)
	require.Empty(t, a.AccessToken, "the answer must not contain a token")

	require.Equal(t, "alice", c.do("GET", "/me", "").Name)
	require.Equal(t, 200, c.do("DELETE", "/session", "").StatusCode)
	c.requireRefused(c.do("GET", "/me", ""), 401, "not_signed_in")
	c.requireRefused(c.do("DELETE", "/session", ""), 401, "not_signed_in")
}

func TestToken(t *testing.T) {
	s := start(t, nil, nil)
	c := newClient(t, s, false)
	a := c.do("POST", "/token", alice)
	require.Equal(t, 200, a.StatusCode)
	require.Empty(t, a.Header.Values("Set-Cookie"), "the token must not be in a cookie")
	require.NotEmpty(t, a.AccessToken)
	require.Equal(t, "Bearer", a.TokenType)
	require.Equal(t, 24*60*60, a.ExpiresIn)

	for _, scheme := range []string{"Bearer ", "bearer "} {
		require.Equal(t, "alice", c.do("GET", "/me", "", "Authorization", scheme+a.AccessToken).Name)
	}
	for _, bad := range []string{"Bearer", "Bearer ", "Bearer x", "Bearer " + a.AccessToken + "x", a.AccessToken,
		"Basic " + a.AccessToken} {
		refused := c.do("GET", "/me", "", "Authorization", bad)
		c.requireRefused(refused, 401, "invalid_token")
		require.Equal(t, `Bearer realm="api", error="invalid_token"`, refused.Header.Get("WWW-Authenticate"))
	}
	refused := c.do("GET", "/me", "")
	require.Equal(t, `Bearer realm="api"`, refused.Header.Get("WWW-Authenticate"),
		"without a token there is no error code (RFC 6750, 3.1)")

	page := newClient(t, s, true)
	page.do("POST", "/session", bob)
	page.requireRefused(page.do("GET", "/me", "", "Authorization", "Bearer x"), 401, "invalid_token")

	second := c.do("POST", "/token", alice)
	require.Equal(t, 200, c.do("DELETE", "/session", "", "Authorization", "Bearer "+a.AccessToken).StatusCode)
	c.requireRefused(c.do("GET", "/me", "", "Authorization", "Bearer "+a.AccessToken), 401, "invalid_token")
	require.Equal(t, "alice", c.do("GET", "/me", "", "Authorization", "Bearer "+second.AccessToken).Name,
		"only the first session has ended")

	s.clock.Add((24 * time.Hour).Microseconds())
	c.requireRefused(c.do("GET", "/me", "", "Authorization", "Bearer "+second.AccessToken), 401, "invalid_token")
}

func TestWrongCredentials(t *testing.T) {
	c := newClient(t, start(t, nil, nil), true)
	for _, body := range []string{wrong, `{"name":"nobody","password":"correct horse"}`, `{}`} {
		for _, path := range []string{"/session", "/token"} {
			c.requireRefused(c.do("POST", path, body), 401, "wrong_credentials")
		}
	}
}

func TestBadRequests(t *testing.T) {
	c := newClient(t, start(t, nil, nil), true)
	for _, body := range []string{"", "[]", "{", alice + alice,
		`{"name":"alice","password":"correct horse","admin":true}`, `{"name":1}`} {
		c.requireRefused(c.do("POST", "/session", body), 400, "bad_request")
	}
	for _, body := range []string{`{"name":"` + strings.Repeat("x", 5000) + `"}`, alice + strings.Repeat(" ", 5000)} {
		c.requireRefused(c.do("POST", "/session", body), 413, "too_large")
	}
	c.requireRefused(c.do("GET", "/nothing", ""), 404, "not_found")
	c.requireRefused(c.do("GET", "/session/", ""), 404, "not_found")
	c.requireRefused(c.do("PUT", "/me", ""), 405, "method_not_allowed")
	c.requireRefused(c.do("POST", "/session", alice, "Sec-Fetch-Site", "cross-site"), 403, "cross_origin")
}

// TestRateLimit_Account checks that beyond the limit, the right password is refused like a wrong
// one, and that a right one costs nothing.
func TestRateLimit_Account(t *testing.T) {
	s := start(t, nil, nil)
	c := newClient(t, s, true)
	for range 5 {
		c.requireRefused(c.do("POST", "/session", wrong), 401, "wrong_credentials")
	}
	for _, body := range []string{wrong, alice} {
		a := c.do("POST", "/session", body)
		c.requireRefused(a, 429, "too_many_attempts")
		require.Equal(t, "12", a.Header.Get("Retry-After"))
	}
	require.Equal(t, 200, c.do("POST", "/session", bob).StatusCode, "another account")
	s.clock.Add((11500 * time.Millisecond).Microseconds())
	require.Equal(t, "1", c.do("POST", "/token", alice).Header.Get("Retry-After"))
	s.clock.Add((500 * time.Millisecond).Microseconds())
	for range 10 {
		require.Equal(t, 200, c.do("POST", "/token", alice).StatusCode)
	}
	c.requireRefused(c.do("POST", "/token", wrong), 401, "wrong_credentials")
	c.requireRefused(c.do("POST", "/token", alice), 429, "too_many_attempts")
}

// TestRateLimit_Address checks that a client cannot evade its limit with forwarding headers.
func TestRateLimit_Address(t *testing.T) {
	text, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	changed := strings.Replace(string(text), "{by: client, tries: 20,", "{by: client, tries: 2,", 1)
	require.NotEqual(t, string(text), changed)
	s := start(t, func(cfg *flowhook.Config) {
		parsed, err := flowhook.ParseConfig([]byte(changed))
		require.NoError(t, err)
		*cfg = *parsed
	}, nil)
	c := newClient(t, s, true)
	for _, name := range []string{"a", "b"} {
		c.requireRefused(c.do("POST", "/session", `{"name":"`+name+`"}`), 401, "wrong_credentials")
	}
	a := c.do("POST", "/session", alice, "X-Forwarded-For", "192.0.2.1", "X-Real-IP", "192.0.2.1")
	c.requireRefused(a, 429, "too_many_attempts")
	require.Equal(t, "1", a.Header.Get("Retry-After"))
	s.clock.Add(time.Second.Microseconds())
	require.Equal(t, 200, c.do("POST", "/session", alice).StatusCode)
}

func TestNetwork(t *testing.T) {
	require.Equal(t, network("2001:db8::1"), network("2001:db8::ffff:1"))
	require.NotEqual(t, network("2001:db8::1"), network("2001:db8:0:1::1"))
	require.NotEqual(t, network("192.0.2.1"), network("192.0.2.2"))
	require.NotEqual(t, network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"))
}

// TestHooks_Answer checks that the answer of a hook is sent unchanged, even without a body, when
// gin has only recorded the status.
func TestHooks_Answer(t *testing.T) {
	for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.BeforePersist, flowhook.After} {
		var written bool
		var status int
		s := start(t, withHook(phase, flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.Header().Set("Location", "/elsewhere")
			x.Writer.WriteHeader(http.StatusFound)
			return nil
		})), func(s *service) *gin.Engine {
			return s.engine(func(c *gin.Context) {
				c.Next()
				written, status = c.Writer.Written(), c.Writer.Status()
			})
		})
		c := newClient(t, s, true)
		r, err := http.NewRequest("POST", s.URL+"/session", strings.NewReader(alice))
		require.NoError(t, err)
		answer, err := c.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusFound, answer.StatusCode)
		require.Equal(t, "/elsewhere", answer.Header.Get("Location"))
		require.Empty(t, body, "no handler may write after the hook")
		require.Equal(t, phase == flowhook.After, len(answer.Cookies()) == 1)
		s.Close() // the handler has returned
		require.True(t, written, "gin must know that the request is answered")
		require.Equal(t, http.StatusFound, status, "gin must know the status, for its loggers")
	}
}

// TestHooks_Panic checks that after a failed run, gin's writer is unchanged and only the handler
// answers.
func TestHooks_Panic(t *testing.T) {
	for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.BeforePersist, flowhook.After} {
		c := newClient(t, start(t, withHook(phase,
			flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
				x.Writer.Header().Set("Location", "/elsewhere")
				x.Writer.WriteHeader(http.StatusFound)
				panic("on purpose")
			})), nil), true)
		for _, path := range []string{"/session", "/token"} {
			a := c.do("POST", path, alice)
			c.requireRefused(a, 500, "")
			require.Empty(t, a.Header.Get("Location"))
		}
		c.requireRefused(c.do("GET", "/me", ""), 401, "not_signed_in")
	}

	s := start(t, nil, func(s *service) *gin.Engine {
		engine := s.engine()
		engine.GET("/panic", func(*gin.Context) { panic("on purpose") })
		engine.GET("/half", func(c *gin.Context) { c.String(200, "half"); panic("on purpose") })
		return engine
	})
	c := newClient(t, s, true)
	c.requireRefused(c.do("GET", "/panic", ""), 500, "")
	_, err := c.Get(s.URL + "/half")
	require.ErrorIs(t, err, io.EOF, "an incomplete answer must be aborted")

	abort := func(context.Context, *flowhook.Exchange) error { panic(http.ErrAbortHandler) }
	aborts := start(t, withHook(flowhook.After, flowhook.HookFunc(abort)), nil)
	_, err = newClient(t, aborts, true).Post(aborts.URL+"/session", "application/json", strings.NewReader(alice))
	require.ErrorIs(t, err, io.EOF, "ErrAbortHandler must reach the server")
}

// TestMain_Command starts the service as a command and runs the curl command that it logs.
func TestMain_Command(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "GIN_RUN_MAIN=1")
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	var try []string
	for lines := bufio.NewScanner(out); try == nil && lines.Scan(); { // skips the findings about auth.yml
		try = regexp.MustCompile(`curl -d '(.*)' (http://\S+)`).FindStringSubmatch(lines.Text())
	}
	require.Len(t, try, 3)
	a, err := http.Post(try[2], "application/json", strings.NewReader(try[1]))
	require.NoError(t, err)
	require.NoError(t, a.Body.Close())
	require.Equal(t, http.StatusOK, a.StatusCode)
}
