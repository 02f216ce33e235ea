package browser_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A service is the service, running as a process with its defaults: a SQLite file, the development
// inbox and the development provider.
type service struct {
	t                  *testing.T
	program, directory string
	address            string // host:port; the same after a restart, so that links stay valid
	url                string
	process            *exec.Cmd
	log                bytes.Buffer // of all runs; read it only when the process has stopped
}

// folder is the service's folder.
const folder = "../../../examples/authservice"

// newService builds the service and starts it.
func newService(t *testing.T) *service {
	s := &service{t: t, directory: t.TempDir(), address: "127.0.0.1:0"}
	s.program = filepath.Join(s.directory, "authservice")
	build := exec.Command("go", "build", "-o", s.program, ".")
	build.Dir = folder
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() {
		if s.process != nil {
			s.stop()
		}
		if t.Failed() {
			t.Logf("the service's log:\n%s", s.log.String())
		}
	})
	s.start()
	return s
}

var listening = regexp.MustCompile(`^authservice listens on (http://(\S+))$`)

// start starts the service and reads its URL from the output. pairs is added to its environment.
func (s *service) start(pairs ...string) {
	s.t.Helper()
	s.process = exec.Command(s.program)
	s.process.Dir = folder
	s.process.Env = []string{"PATH=" + os.Getenv("PATH"), "ADDR=" + s.address, "ADMIN_LISTEN=off", "DATABASE_URL=sqlite:" +
		filepath.Join(s.directory, "authservice.db")}
	for i := 0; i < len(pairs); i += 2 {
		s.process.Env = append(s.process.Env, pairs[i]+"="+pairs[i+1])
	}
	s.process.Stderr = &s.log
	out, err := s.process.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, s.process.Start())
	silent := time.AfterFunc(time.Minute, func() { s.process.Process.Kill() })
	defer silent.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			s.url, s.address = found[1], found[2]
			return
		}
	}
	s.process.Wait()
	s.process = nil
	require.FailNow(s.t, "the service did not print its URL", s.log.String())
}

// stop sends SIGTERM and requires that the service exits without an error.
func (s *service) stop() {
	s.t.Helper()
	process := s.process
	s.process = nil
	require.NoError(s.t, process.Process.Signal(syscall.SIGTERM))
	hanging := time.AfterFunc(30*time.Second, func() { process.Process.Kill() })
	defer hanging.Stop()
	require.NoError(s.t, process.Wait(), "the service did not stop cleanly")
}

// underMaintenance writes a copy of auth.yml with the maintenance redirect uncommented, and returns
// its path.
func (s *service) underMaintenance() string {
	s.t.Helper()
	data, err := os.ReadFile(folder + "/auth.yml")
	require.NoError(s.t, err)
	var changed strings.Builder
	uncommented, inside := 0, false
	for line := range strings.Lines(string(data)) {
		if indent, rest, commented := strings.Cut(line, "# "); commented && strings.TrimSpace(indent) == "" &&
			(inside || rest == "- hook: redirect\n") {
			inside, line = true, indent+rest
			uncommented++
		} else {
			inside = false
		}
		changed.WriteString(line)
	}
	require.Equal(s.t, 3, uncommented, "auth.yml is not what this test expects")
	path := filepath.Join(s.directory, "auth.yml")
	require.NoError(s.t, os.WriteFile(path, []byte(changed.String()), 0o600))
	return path
}
