package sqltest

import (
	"bufio"
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"net/url"
	"os"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process is a service that runs in a process of its own.
type process struct {
	t      *testing.T
	name   string
	url    string
	client *http.Client
}

// start starts a service. It ends with the test.
func (s system) start(t *testing.T, name, source string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := osexec.Command(self)
	cmd.Env = append(os.Environ(), serveSystem+"="+s.name, serveSource+"="+source)
	var log bytes.Buffer
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %s ended: %v", name, err)
		}
		if t.Failed() {
			t.Logf("log of process %s:\n%s", name, log.String())
		}
	}
	t.Cleanup(stop)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		t.Fatalf("process %s wrote no address: %v\n%s", name, err, log.String())
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{
		Transport:     transport,
		Timeout:       2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &process{t: t, name: name, url: "http://" + strings.TrimSpace(address), client: client}
}

// A reply is the answer of a process.
type reply struct {
	status int
	body   string
	cookie string // the session cookie
	err    error
}

// do sends a request. Unlike other methods, it is safe to call in any goroutine.
func (p *process) do(method, path, cookie string, form url.Values) (a reply) {
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return reply{err: err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != "" {
		r.Header.Set("Cookie", "__Host-session="+cookie)
	}
	res, err := p.client.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	a = reply{status: res.StatusCode, body: strings.TrimSpace(string(body)), err: err}
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			a.cookie = c.Value
		}
	}
	return a
}

func (p *process) login(cookie string) reply {
	return p.do(http.MethodPost, "/login", cookie, url.Values{"name": {"alice"}})
}

// whoami returns the user whom a cookie signs in, or "anonymous".
func (p *process) whoami(cookie string) string {
	p.t.Helper()
	a := p.do(http.MethodGet, "/whoami", cookie, nil)
	require.NoError(p.t, a.err)
	require.Contains(p.t, []int{http.StatusOK, http.StatusUnauthorized}, a.status, a.body)
	return a.body
}

// two starts two processes on a new database.
func (s system) two(t *testing.T) (db *sql.DB, both [2]*process) {
	t.Helper()
	source := s.database.migrated(t)
	db = s.database.connect(t, source)
	db.SetMaxOpenConns(4)
	for _, statement := range serviceTables {
		_, err := db.Exec(statement)
		require.NoError(t, err)
	}
	_, err := db.Exec("INSERT INTO users (id, logins) VALUES ('alice', 0)")
	require.NoError(t, err)
	return db, [2]*process{s.start(t, "A", source), s.start(t, "B", source)}
}
