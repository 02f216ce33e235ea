package processtest_test

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

// ready is how long a copy may take to start, on a machine that has other things to do.
const ready = 60 * time.Second

// A deployment is one database with the copies of the service that run on it.
type deployment struct {
	t      testing.TB
	env    []string
	logs   string // a folder
	copies []*replica
}

// A replica is a place in the deployment where a process runs, and another one once that has ended.
type replica struct {
	deployment *deployment
	name       string
	runs       int

	mu  sync.Mutex
	url string // empty: there is no process, or it does not listen yet, or not any more
	cmd *exec.Cmd
	log string // of this process
}

// deploy makes a deployment without starting it. pairs are what the environment says beside the usual.
func deploy(t testing.TB, database, smtp string, copies int, pairs ...string) *deployment {
	config, err := filepath.Abs("../../auth.yml")
	require.NoError(t, err)
	d := &deployment{t: t, logs: t.TempDir(), env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), // nothing else from outside
		"ADDR=127.0.0.1:0", "PUBLIC_URL=" + publicURL, "DATABASE_URL=" + database, "SESSION_SECRETS=" + secret, "AUTH_CONFIG=" + config,
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

// rescueAfter is how long a copy may hold a mail before the others take it over.
const rescueAfter = 6 * time.Second

// start starts all copies at once, which is what a deployment does, and waits until they listen.
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

// live gives the copies that listen.
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

// begin starts a process. What comes back says that it listens, or why not.
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
	defer log.Close() // the process has its own
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
		case <-time.After(ready):
			within <- fmt.Errorf("%s does not listen after %s, see %s", c.name, ready, tail(log.Name()))
		}
	}()
	return within
}

func (c *replica) taken() *exec.Cmd {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd := c.cmd
	c.cmd, c.url = nil, ""
	return cmd
}

// kill ends the process as a power cut would: it is not asked.
func (c *replica) kill() {
	if cmd := c.taken(); cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// stop asks the process to end, and gives its exit code and how long it took. stopping is called once it takes no more
// connections, though it may still have requests to finish.
func (c *replica) stop(patience time.Duration, stopping func()) (code int, took time.Duration) {
	c.deployment.t.Helper()
	c.mu.Lock()
	cmd, url := c.cmd, c.url
	c.url = "" // nobody is sent there any more
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
	}, "%s takes connections", c.name)
	stopping()
	cmd.Wait() // the exit code says it all
	took = time.Since(began)
	c.taken()
	return cmd.ProcessState.ExitCode(), took
}

// checkLogs looks for what no run may say: a panic or a data race.
func (d *deployment) checkLogs() {
	files, err := filepath.Glob(filepath.Join(d.logs, "*.log"))
	require.NoError(d.t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(d.t, err)
		for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
			if strings.Contains(string(data), bad) {
				d.t.Errorf("%s says %q: %s", filepath.Base(file), bad, tail(file))
			}
		}
	}
	if d.t.Failed() {
		for _, file := range files[max(0, len(files)-4):] {
			d.t.Logf("%s: %s", filepath.Base(file), tail(file))
		}
	}
}

// said counts the lines of all logs that contain a text.
func (d *deployment) said(text string) (n int) {
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

// handled counts the requests that the last process had an answer for, by its own log.
func (c *replica) handled() int {
	data, err := os.ReadFile(c.log)
	require.NoError(c.deployment.t, err)
	return strings.Count(string(data), " msg=request ")
}

// tail gives the last lines of a log that are no news of every day.
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
