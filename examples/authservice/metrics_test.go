package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// started returns the line that the process logs when it has started.
func (p *process) started(t *testing.T) string {
	t.Helper()
	var lines []string
	require.Eventually(t, func() bool { // its standard error is copied concurrently
		lines = p.log.lines("level=INFO", "msg=started")
		return len(lines) == 1
	}, 20*time.Second, time.Millisecond)
	return lines[0]
}

// admin returns the URL of the process's admin listener.
func (p *process) admin(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(` admin=(127\S+)`).FindStringSubmatch(p.started(t))
	require.NotNil(t, found)
	return "http://" + found[1]
}

// TestMetrics checks the figures of requests and hooks, and that only ADMIN_LISTEN serves them.
func TestMetrics(t *testing.T) {
	p, err := startProcess(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { p.Process.Kill() })
	for range 3 {
		response, err := http.PostForm(p.url+"/login", url.Values{"email": {email}, "password": {"wrong"}})
		require.NoError(t, err)
		response.Body.Close()
	}
	get(t, p.url+"/no/such/page")
	get(t, p.url+"/readyz")
	status, text := get(t, p.admin(t)+"/metrics")
	require.Equal(t, http.StatusOK, status)
	series := func(name string, labels ...string) (value string) {
		for line := range strings.Lines(text) {
			ok := strings.HasPrefix(line, name+"{")
			for _, label := range labels {
				ok = ok && strings.Contains(line, label)
			}
			if ok {
				require.Empty(t, value, "two series")
				value = line[strings.LastIndex(line, " ")+1:]
			}
		}
		return strings.TrimSpace(value)
	}
	const requests, hooks = "http_server_request_duration_seconds_count", "flowhook_hook_duration_seconds_count"
	require.Equal(t, "3", series(requests, `http_request_method="POST"`, `http_route="/login"`,
		`http_response_status_code="422"`), text)
	require.Equal(t, "1", series(requests, `http_request_method="GET"`, `http_route=""`,
		`http_response_status_code="404"`), text)
	require.Equal(t, "3", series(hooks, `flowhook_flow="login"`, `flowhook_phase="failed"`, `flowhook_hook="audit"`,
		`flowhook_outcome="passed"`), text)
	require.NotContains(t, text, "readyz")
	require.NotContains(t, text, "/no/such/page")
	require.Contains(t, text, "\nprocess_resident_memory_bytes ")
	require.Contains(t, text, "\ngo_goroutines ")

	status, _ = get(t, p.url+"/metrics")
	require.Equal(t, http.StatusNotFound, status)
	for _, path := range []string{"/login", "/", "/debug/hooks"} {
		status, _ = get(t, p.admin(t)+path)
		require.Equal(t, http.StatusNotFound, status, path)
	}
}

// TestMetrics_Queue checks that an email that cannot be sent shows.
func TestMetrics_Queue(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database, "SMTP_URL", "smtp://127.0.0.1:1")
		admin := httptest.NewServer(s.service.adminHandler())
		defer admin.Close()
		s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", password)
		require.Eventually(t, func() bool {
			_, text := get(t, admin.URL+"/metrics")
			return strings.Contains(text, "\nauthservice_queue_emails{state=\"retryable\"} 1\n")
		}, 20*time.Second, 20*time.Millisecond)
		_, err := s.service.db.Exec("UPDATE river_job SET state = 'cancelled', finalized_at = CURRENT_TIMESTAMP")
		require.NoError(t, err) // as after a refusal for good
		_, text := get(t, admin.URL+"/metrics")
		require.Contains(t, text, "\nauthservice_queue_emails{state=\"cancelled\"} 1\n")
		require.Empty(t, s.log.lines("counting the emails"))
	})
}

// TestMetrics_Reload checks that a failed reload shows until one succeeds.
func TestMetrics_Reload(t *testing.T) {
	path := withConfig(t, "session:\n", "session:\n")
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path)
	admin := httptest.NewServer(s.service.adminHandler())
	defer admin.Close()
	loaded := func(successful string) float64 {
		t.Helper()
		_, text := get(t, admin.URL+"/metrics")
		require.Contains(t, text, "\nauthservice_config_last_reload_successful "+successful+"\n")
		found := regexp.MustCompile(`\nauthservice_config_last_reload_success_timestamp_seconds (\S+)\n`).
			FindStringSubmatch(text)
		require.NotNil(t, found, text)
		at, err := strconv.ParseFloat(found[1], 64)
		require.NoError(t, err)
		return at
	}
	before := loaded("1")
	require.InDelta(t, time.Now().Unix(), before, 60)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("nonsense"), 0o600))
	s.service.reload(t.Context())
	require.Equal(t, before, loaded("0"))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	s.ahead.Store(int64(time.Hour))
	s.service.reload(t.Context())
	require.InDelta(t, before+3600, loaded("1"), 60)
}

// TestMetrics_Method checks that clients cannot make series.
func TestMetrics_Method(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	for _, method := range []string{"BREW", "WHEN"} {
		r, err := http.NewRequest(method, s.server.URL+"/login", nil)
		require.NoError(t, err)
		s.browser().do(r)
	}
	families, err := s.service.metrics.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "http_server_request_duration_seconds" {
			require.Len(t, f.GetMetric(), 1)
			require.Equal(t, uint64(2), f.GetMetric()[0].GetHistogram().GetSampleCount())
			return
		}
	}
	require.Fail(t, "no such metric")
}

// TestAdmin_Off checks that there is no admin listener.
func TestAdmin_Off(t *testing.T) {
	p, err := startProcess(t.TempDir(), "ADMIN_LISTEN=off")
	require.NoError(t, err)
	t.Cleanup(func() { p.Process.Kill() })
	require.Contains(t, p.started(t), " admin=off ")
}

// TestAdmin_Default checks that only this machine reaches the metrics by default.
func TestAdmin_Default(t *testing.T) {
	c, err := readConfig(environment("sqlite:db"))
	require.NoError(t, err)
	host, _, err := net.SplitHostPort(c.Admin)
	require.NoError(t, err)
	require.True(t, net.ParseIP(host).IsLoopback())
}

// TestHealth_Stopping checks that readyz fails after SIGTERM while the service still serves, and
// that the admin listener says so, too. A second signal ends the process.
func TestHealth_Stopping(t *testing.T) {
	p, err := startProcess(t.TempDir(), "SHUTDOWN_DELAY=10m")
	require.NoError(t, err)
	t.Cleanup(func() { p.Process.Kill() })
	servers := []string{p.url, p.admin(t)}
	for _, at := range servers {
		for _, path := range []string{"/livez", "/readyz"} {
			status, body := get(t, at+path)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, "ok\n", body)
		}
	}
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	for _, at := range servers {
		require.Eventually(t, func() bool {
			status, body := get(t, at+"/readyz")
			return status == http.StatusServiceUnavailable && body == "shutting down\n"
		}, 20*time.Second, 2*time.Millisecond)
		status, _ := get(t, at+"/livez")
		require.Equal(t, http.StatusOK, status)
	}
	status, _ := get(t, p.url+"/login")
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.Error(t, p.Wait())
}

// makeReadOnly makes a PostgreSQL database read-only, as a provider does when the disk is almost full.
func (s *site) makeReadOnly() {
	s.t.Helper()
	var name string
	require.NoError(s.t, s.service.db.QueryRow("SELECT current_database()").Scan(&name))
	_, err := s.service.db.Exec(`ALTER DATABASE "` + name + `" SET default_transaction_read_only = on`)
	require.NoError(s.t, err)
	s.service.db.pool.Reset() // it concerns new connections
}

// TestHealth_ReadOnly checks that readyz fails if PostgreSQL accepts no writes.
func TestHealth_ReadOnly(t *testing.T) {
	s := newSite(t, newPostgreSQL(t))
	s.browser().open("/readyz").refused(http.StatusOK, "ok")
	s.makeReadOnly()
	s.browser().open("/readyz").refused(http.StatusServiceUnavailable, "database not ready")
	require.Len(t, s.log.lines("not ready", "the database is read-only"), 1)
}

// TestHealth_Database checks that only readyz needs the database.
func TestHealth_Database(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	require.NoError(t, s.outbox.Stop(t.Context()))
	require.NoError(t, s.service.db.DB.Close())
	s.browser().open("/readyz").refused(http.StatusServiceUnavailable, "database not ready")
	s.browser().open("/livez").refused(http.StatusOK, "ok")
}
