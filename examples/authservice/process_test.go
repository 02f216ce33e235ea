package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process is the service, running as a process.
type process struct {
	*exec.Cmd
	url string
	log *lockedBuffer
}

// program returns a process that is not started yet. pairs is added to its environment. Its email
// cannot be sent unless pairs names a mail server.
func program(dir string, pairs ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{Cmd: exec.Command(program), log: &lockedBuffer{}}
	p.Dir, p.Stderr = dir, p.log
	p.Env = append(os.Environ(), "FLOWHOOK_TEST_PROCESS=1", "ADDR=127.0.0.1:0",
		"ADMIN_LISTEN=127.0.0.1:0", "SMTP_URL=smtp://127.0.0.1:1", "MAIL_FROM=accounts@example.org")
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

// TestProcess_UnknownProxy checks the warning if there must be a proxy but TRUSTED_PROXIES is not
// set.
func TestProcess_UnknownProxy(t *testing.T) {
	for _, c := range []struct {
		env   []string
		warns int
	}{
		{[]string{"PUBLIC_URL=https://accounts.example"}, 1},
		{[]string{"PUBLIC_URL=https://accounts.example", "ADDR=:0"}, 1},
		{[]string{"PUBLIC_URL=https://accounts.example", "TRUSTED_PROXIES=127.0.0.1"}, 0},
		{nil, 0},
	} {
		log := startAndStop(t, c.env...)
		require.Len(t, log.lines("level=WARN", "TRUSTED_PROXIES does not name the proxy"), c.warns, log)
	}
}

// startAndStop starts a process, stops it, and returns its log.
func startAndStop(t *testing.T, env ...string) *lockedBuffer {
	t.Helper()
	p, err := startProcess(t.TempDir(), env...)
	require.NoError(t, err)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait(), p.log)
	return p.log
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
