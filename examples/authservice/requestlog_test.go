package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRequestLog checks what a line about a request has, and what all lines about it share.
func TestRequestLog(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	var id string
	require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
	b := s.from("192.0.2.1")

	b.post("/login?token=secret", url.Values{"email": {email}, "password": {"wrong"}})
	request := b.Header.Get("X-Request-Id")
	require.Len(t, request, 26)
	lines := s.log.lines("request_id=" + request)
	require.Len(t, s.log.lines("request_id="+request, "msg=hook", "name=rate_limit"), 1)
	last := lines[len(lines)-1]
	for _, want := range []string{"level=INFO", "msg=request", "method=POST", "path=/login ", "status=422",
		"client=192.0.2.1"} {
		require.Contains(t, last, want)
	}
	require.NotContains(t, last, "user=", "nobody is signed in")
	require.Empty(t, s.log.lines("token="), "the query is logged")

	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.post("/login", url.Values{"email": {email}, "password": {password}})
	require.NotEqual(t, request, b.Header.Get("X-Request-Id"))
	require.Len(t, s.log.lines("msg=request", "path=/login", "status=303", "user="+id), 1)
	b.open("/settings")
	require.Len(t, s.log.lines("msg=request", "path=/settings", "status=200", "user="+id), 1)
}

// TestRequestLog_Quiet checks that health checks and static files are not logged.
func TestRequestLog_Quiet(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	b := s.browser()
	for _, path := range []string{"/livez", "/readyz", "/static/style.css", "/favicon.ico"} {
		require.Equal(t, http.StatusOK, b.open(path).Status, path)
		require.NotEmpty(t, b.Header.Get("X-Request-Id"))
	}
	require.Empty(t, s.log.lines("msg=request"))
	b.open("/static")
	require.Len(t, s.log.lines("msg=request"), 1)
}

// panicking returns a server whose page /dev/mail/ is h, which panics.
func (s *site) panicking(h http.HandlerFunc) *httptest.Server {
	s.t.Helper()
	s.service.inbox = h
	handler, err := s.service.handler()
	require.NoError(s.t, err)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	s.t.Cleanup(server.Close)
	return server
}

// TestRequestLog_Panic checks that a request whose handler panics after the response has begun is
// logged and measured, and that the client sees that the response is incomplete.
func TestRequestLog_Panic(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	for value, want := range map[error]string{
		errors.New("the inbox broke"): `error="panic: the inbox broke"`,
		http.ErrAbortHandler:          `error="panic: net/http: abort Handler"`,
	} {
		server := s.panicking(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, "half a ")
			http.NewResponseController(w).Flush()
			panic(value)
		})
		response, err := http.Get(server.URL + "/dev/mail/")
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, "half a ", string(body))
		server.Close() // waits for the handler
		lines := s.log.lines("msg=request", "request_id="+response.Header.Get("X-Request-Id"))
		require.Len(t, lines, 1)
		for _, part := range []string{"level=ERROR", "method=GET", "path=/dev/mail/", "status=202",
			"client=127.0.0.1", want} {
			require.Contains(t, lines[0], part)
		}
	}
	admin := httptest.NewServer(s.service.adminHandler())
	defer admin.Close()
	_, text := get(t, admin.URL+"/metrics")
	require.Contains(t, text, `http_server_request_duration_seconds_count{error_type="panic",http_request_method="GET",`+
		`http_response_status_code="202",http_route="/dev/mail/"} 2`)
}

// TestRequestLog_PanicBefore checks that a request whose handler panics before the response has
// begun has one line, with the status of the error page.
func TestRequestLog_PanicBefore(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	server := s.panicking(func(http.ResponseWriter, *http.Request) { panic("the inbox broke") })
	newBrowser(t, server).open("/dev/mail/").refused(http.StatusInternalServerError, "Something went wrong")
	server.Close()
	lines := s.log.lines("msg=request", "path=/dev/mail/")
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "status=500")
	require.NotContains(t, lines[0], "error=")
	require.Len(t, s.log.lines("level=ERROR", "msg=failed", `error="panic: the inbox broke"`), 1)
}

// TestRequestID checks whose X-Request-ID is used.
func TestRequestID(t *testing.T) {
	for _, c := range []struct {
		name, proxies, sent string
		want                bool // that the sent one is used
	}{
		{"client", "192.0.2.1", "from-a-client", false},
		{"proxy", "127.0.0.1", "0f9e4c2a-1b3d-4c5e-8f70-123456789abc", true},
		{"proxy without", "127.0.0.1", "", false},
		{"space", "127.0.0.1", "a level=ERROR", false},
		{"quote", "127.0.0.1", `a"b`, false},
		{"longest", "127.0.0.1", strings.Repeat("a", 128), true},
		{"too long", "127.0.0.1", strings.Repeat("a", 129), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "TRUSTED_PROXIES", c.proxies)
			r, err := http.NewRequest("GET", s.server.URL+"/login", nil)
			require.NoError(t, err)
			r.Header.Set("X-Request-ID", c.sent)
			got := s.browser().do(r).Header.Values("X-Request-Id")
			require.Len(t, got, 1)
			require.NotEmpty(t, got[0])
			require.Equal(t, c.want, got[0] == c.sent)
			require.Len(t, s.log.lines("msg=request", "request_id="+got[0]), 1)
		})
	}
}

// TestNewLogger checks the format and the level.
func TestNewLogger(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, "json", slog.LevelWarn).With("a", 1).WithGroup("g")
	log.Info("left out")
	log.Warn("kept", "b", 2, "took", 1500*time.Millisecond)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "kept", line["msg"])
	require.Equal(t, float64(1), line["a"])
	require.Equal(t, map[string]any{"b": float64(2), "took": 1.5}, line["g"])
	out.Reset()
	newLogger(&out, "text", slog.LevelInfo).Info("kept")
	require.Contains(t, out.String(), "level=INFO msg=kept\n")
}

// TestRequestLog_UntrustedProxy checks the warning about X-Forwarded-For that is ignored. It is logged
// once, although each request of such a proxy has the header.
func TestRequestLog_UntrustedProxy(t *testing.T) {
	for proxies, warns := range map[string]int{"": 1, "10.0.0.0/8": 1, "127.0.0.1": 0} {
		s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "TRUSTED_PROXIES", proxies)
		b := s.browser()
		b.open("/")
		require.Empty(t, s.log.lines("ignored X-Forwarded-For"))
		b.client.Transport = forwarding{b.client.Transport, "203.0.113.9"}
		b.open("/").open("/")
		s.server.Close() // waits until the requests are logged
		require.Len(t, s.log.lines("level=WARN", "ignored X-Forwarded-For", "sender=127.0.0.1:"), warns, proxies)
	}
}
