package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process is the service, running as a process.
type process struct {
	*exec.Cmd
	url string
	log *lockedBuffer
}

// program returns a process that is not started yet. pairs is added to its environment.
func program(dir string, pairs ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{Cmd: exec.Command(program), log: &lockedBuffer{}}
	p.Dir, p.Stderr = dir, p.log
	p.Env = append(os.Environ(), "FLOWHOOK_TEST_PROCESS=1", "ADDR=127.0.0.1:0",
		"ADMIN_LISTEN=127.0.0.1:0")
	p.Env = append(p.Env, pairs...)
	return p, nil
}

// startProcess starts a process and waits until it has printed its URL.
func startProcess(dir string, pairs ...string) (*process, error) {
	p, err := program(dir, pairs...)
	if err != nil {
		return nil, err
	}
	return p, p.begin()
}

// begin starts p and waits until it has printed its URL.
func (p *process) begin() error {
	out, err := p.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if after, ok := strings.CutPrefix(lines.Text(), "authservice listens on "); ok {
			p.url = after
			go io.Copy(io.Discard, out)
			return nil
		}
	}
	return fmt.Errorf("the process ended before it listened: %w\n%s", p.Wait(), p.log)
}

// TestProcess_ConcurrentStart starts several processes at once on a new database and checks that
// they share users and sessions.
func TestProcess_ConcurrentStart(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		configuration, err := filepath.Abs("auth.yml")
		require.NoError(t, err)
		const copies = 4
		var running sync.WaitGroup
		var processes [copies]*process
		var errs [copies]error
		for i := range copies {
			running.Go(func() {
				processes[i], errs[i] = startProcess(t.TempDir(), "DATABASE_URL="+database,
					"AUTH_CONFIG="+configuration, "SESSION_SECRETS="+testSecret)
			})
		}
		running.Wait()
		t.Cleanup(func() {
			for _, p := range processes {
				if p != nil && p.ProcessState == nil {
					p.Process.Kill()
					p.Wait()
				}
			}
		})
		for i, p := range processes {
			require.NoError(t, errs[i])
			require.NotEmpty(t, p.url)
			status, body := get(t, p.url+"/readyz")
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, "ok\n", body)
		}
		form := url.Values{"name": {"Alice"}, "email": {email}, "password": {password}}
		response, err := http.PostForm(processes[0].url+"/register", form)
		require.NoError(t, err)
		response.Body.Close()
		client := &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		response, err = client.PostForm(processes[1].url+"/login", form)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusSeeOther, response.StatusCode)
		cookie := ""
		for _, c := range response.Cookies() {
			require.Equal(t, c.Name != signedInCookie, c.Secure, c.Name) // see signedout.go
			require.True(t, c.HttpOnly && c.SameSite == http.SameSiteLaxMode && c.Path == "/" &&
				c.Domain == "", c.Name)
			if c.Name == "__Host-session" {
				cookie = c.Value
			}
		}
		for _, p := range processes {
			r, err := http.NewRequest("GET", p.url+"/", nil)
			require.NoError(t, err)
			r.AddCookie(&http.Cookie{Name: "__Host-session", Value: cookie})
			response, err := client.Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			response.Body.Close()
			require.Contains(t, string(body), "Hello, Alice")
		}
		for _, p := range processes {
			require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		}
		for _, p := range processes {
			ended := make(chan error, 1)
			go func() { ended <- p.Wait() }()
			select {
			case err := <-ended:
				require.NoError(t, err, p.log)
			case <-time.After(30 * time.Second):
				require.Fail(t, "the process does not stop")
			}
		}
		t.Logf("%d copies started at once on a new database, shared a user and a session, and stopped on SIGTERM",
			copies)
	})
}

// TestProcess_Defaults starts without configuration, in a directory with only auth.yml. The service
// creates its database and its secret, and keeps both.
func TestProcess_Defaults(t *testing.T) {
	dir := t.TempDir()
	configuration, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "auth.yml"), configuration, 0o600))
	secret := ""
	for range 2 {
		p, err := startProcess(dir, "SESSION_SECRETS=", "DATABASE_URL=", "SMTP_URL=", "OIDC_ISSUER=")
		require.NoError(t, err)
		status, _ := get(t, p.url+"/dev/mail/")
		require.Equal(t, http.StatusOK, status)
		require.NoError(t, p.Process.Signal(os.Interrupt))
		require.NoError(t, p.Wait(), p.log)
		kept, err := os.ReadFile(filepath.Join(dir, "authservice.db.secret"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(strings.TrimSpace(string(kept))), 26)
		require.True(t, secret == "" || secret == string(kept))
		secret = string(kept)
		for _, name := range []string{"authservice.db", "authservice.db.secret"} {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		}
	}
}

// TestProcess_UnknownProxy checks the warning if there must be a proxy but TRUSTED_PROXIES is not
// set.
func TestProcess_UnknownProxy(t *testing.T) {
	for _, c := range []struct {
		public, proxies string
		warns           int
	}{{"https://accounts.example", "", 1}, {"https://accounts.example", "127.0.0.1", 0}, {"", "", 0}} {
		configuration, err := filepath.Abs("auth.yml")
		require.NoError(t, err)
		p, err := startProcess(t.TempDir(), "AUTH_CONFIG="+configuration, "PUBLIC_URL="+c.public,
			"TRUSTED_PROXIES="+c.proxies, "SMTP_URL=smtp://127.0.0.1:1")
		require.NoError(t, err)
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.Wait(), p.log)
		require.Len(t, p.log.lines("level=WARN", "TRUSTED_PROXIES does not name the proxy"), c.warns)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(data)
}
