package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
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
