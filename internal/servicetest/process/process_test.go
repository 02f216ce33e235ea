package process_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
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

// startTime is how long a copy may take to start, even on a busy machine.
const startTime = 60 * time.Second

// A deployment is a database and the copies of the service that use it.
type deployment struct {
	t      testing.TB
	env    []string
	logs   string // the directory of the logs
	copies []*replica
}

// A replica is a copy of the service. It runs as one process at a time.
type replica struct {
	deployment *deployment
	name       string
	runs       int

	mu  sync.Mutex
	url string // empty if no process is listening
	cmd *exec.Cmd
	log string // the log file of this process
}

// deploy returns a deployment that is not started yet. pairs is added to the environment of its
// copies.
func deploy(t testing.TB, database, smtp string, copies int, pairs ...string) *deployment {
	config := withoutLimits(t, "session:\n", "session:\n") // all clients have one address
	d := &deployment{t: t, logs: t.TempDir(), env: []string{
		// nothing else from the test's environment
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(),
		"ADDR=127.0.0.1:0", "ADMIN_LISTEN=127.0.0.1:0", "PUBLIC_URL=" + publicURL, "DATABASE_URL=" + database, "SESSION_SECRETS=" +
			secret, "AUTH_CONFIG=" + config,
		"SMTP_URL=" + smtp, "MAIL_RESCUE_AFTER=" + rescueAfter.String(),
	}}
	for i := 0; i < len(pairs); i += 2 {
		d.env = append(d.env, pairs[i]+"="+pairs[i+1])
	}
	for i := range copies {
		d.copies = append(d.copies, &replica{deployment: d, name: string(rune('A' + i))})
	}
	t.Cleanup(func() {
		for _, c := range d.copies {
			c.kill()
		}
		d.checkLogs()
	})
	return d
}

// rescueAfter is how long a copy may hold an email before another takes it over.
const rescueAfter = 6 * time.Second

// start starts all copies at once, as in a real deployment, and waits until they listen.
func (d *deployment) start() {
	d.t.Helper()
	began := make([]<-chan error, len(d.copies))
	for i, c := range d.copies {
		began[i] = c.begin()
	}
	for _, listens := range began {
		require.NoError(d.t, <-listens)
	}
}

// live returns the copies that listen.
func (d *deployment) live() (found []*replica) {
	for _, c := range d.copies {
		if c.address() != "" {
			found = append(found, c)
		}
	}
	return found
}

func (c *replica) address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.url
}

func (c *replica) start() {
	c.deployment.t.Helper()
	require.NoError(c.deployment.t, <-c.begin())
}

var errNotListening = errors.New("the process ended before it listened")

// begin starts a process. The channel receives nil when the process listens, or an error.
func (c *replica) begin() (listens <-chan error) {
	done := make(chan error, 1)
	program, err := binary()
	if err != nil {
		done <- err
		return done
	}
	c.runs++
	log, err := os.Create(filepath.Join(c.deployment.logs, fmt.Sprintf("%s%03d.log", c.name, c.runs)))
	if err != nil {
		done <- err
		return done
	}
	defer log.Close() // the process has its own file descriptor
	cmd := exec.Command(program)
	cmd.Env, cmd.Stderr, cmd.Dir = c.deployment.env, log, c.deployment.logs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		done <- err
		return done
	}
	c.mu.Lock()
	c.cmd, c.log = cmd, log.Name()
	c.mu.Unlock()
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		_, url, found := strings.Cut(strings.TrimSpace(line), "authservice listens on ")
		if err != nil || !found {
			done <- fmt.Errorf("%w: %s, see %s", errNotListening, c.name, tail(log.Name()))
			return
		}
		c.mu.Lock()
		if c.cmd == cmd {
			c.url = url
		}
		c.mu.Unlock()
		done <- nil
	}()
	within := make(chan error, 1)
	go func() {
		select {
		case err := <-done:
			within <- err
		case <-time.After(startTime):
			within <- fmt.Errorf("%s does not listen after %s, see %s", c.name, startTime, tail(log.Name()))
		}
	}()
	return within
}

// detach returns the current process and marks the replica as not running.
func (c *replica) detach() *exec.Cmd {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd := c.cmd
	c.cmd, c.url = nil, ""
	return cmd
}

// kill kills the process.
func (c *replica) kill() {
	if cmd := c.detach(); cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// stop sends SIGTERM and returns the exit code and the time until the process exited. It calls
// stopping once the process accepts no more connections; requests may still be in progress.
func (c *replica) stop(patience time.Duration, stopping func()) (code int, took time.Duration) {
	c.deployment.t.Helper()
	c.mu.Lock()
	cmd, url := c.cmd, c.url
	c.url = "" // sends no more requests there
	c.mu.Unlock()
	began := time.Now()
	require.NoError(c.deployment.t, cmd.Process.Signal(syscall.SIGTERM))
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer late.Stop()
	eventually(c.deployment.t, patience, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, "%s accepts connections", c.name)
	stopping()
	cmd.Wait() // stop returns the exit code
	took = time.Since(began)
	c.detach()
	return cmd.ProcessState.ExitCode(), took
}

// checkLogs fails the test if a log contains a panic or a data race.
func (d *deployment) checkLogs() {
	files, err := filepath.Glob(filepath.Join(d.logs, "*.log"))
	require.NoError(d.t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(d.t, err)
		for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
			if strings.Contains(string(data), bad) {
				d.t.Errorf("%s contains %q: %s", filepath.Base(file), bad, tail(file))
			}
		}
	}
	if d.t.Failed() {
		for _, file := range files[max(0, len(files)-4):] {
			d.t.Logf("%s: %s", filepath.Base(file), tail(file))
		}
	}
}

// logged counts the lines in all logs that contain a text.
func (d *deployment) logged(text string) (n int) {
	files, err := filepath.Glob(filepath.Join(d.logs, "*.log"))
	require.NoError(d.t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(d.t, err)
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, text) {
				n++
			}
		}
	}
	return n
}

// handled counts the requests that the last process answered, according to its log.
func (c *replica) handled() int {
	data, err := os.ReadFile(c.log)
	require.NoError(c.deployment.t, err)
	return strings.Count(string(data), " msg=request ")
}

// tail returns the last lines of a log above level INFO.
func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, "level=INFO") {
			lines = append(lines, line)
		}
	}
	return "\n" + strings.Join(lines[max(0, len(lines)-30):], "")
}
