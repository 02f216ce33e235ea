package process_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A cluster is a PostgreSQL server for one test, which can stop it without affecting others.
type cluster struct {
	t                    testing.TB
	programs, data, port string
	account              *user.User // the account that runs it; nil for that of the test
}

// newCluster creates and starts a server. PostgreSQL does not run as root, so a test that runs as
// root needs the account postgres.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, programs: programs()}
	if c.programs == "" {
		testkit.Missing(t, "initdb and pg_ctl of PostgreSQL are neither in PATH nor in /usr/lib/postgresql")
	}
	folder, err := os.MkdirTemp("", "flowhook-") // t.TempDir is not readable for other accounts
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	if os.Geteuid() == 0 {
		if c.account, err = user.Lookup("postgres"); err != nil {
			testkit.Missing(t, "PostgreSQL does not run as root, and the account postgres does not exist")
		}
		uid, err := strconv.Atoi(c.account.Uid)
		require.NoError(t, err)
		gid, err := strconv.Atoi(c.account.Gid)
		require.NoError(t, err)
		require.NoError(t, os.Chown(folder, uid, gid))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, c.port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())

	c.data = filepath.Join(folder, "data")
	c.run("initdb", "-D", c.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	settings, err := os.OpenFile(filepath.Join(c.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	// Without fsync, writes still survive the end of a process, because the machine keeps running.
	_, err = fmt.Fprintf(settings, "listen_addresses = '127.0.0.1'\nport = %s\nunix_socket_directories = ''\nfsync = "+
		"off\n", c.port)
	require.NoError(t, err)
	require.NoError(t, settings.Close())
	c.start()
	// may fail, because the server may be down
	t.Cleanup(func() { c.command("pg_ctl", "-D", c.data, "-m", "immediate", "-w", "stop").Run() })
	return c
}

// programs returns the directory of PostgreSQL's programs, or "" if there is none.
func programs() string {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // where Debian installs them
	if found, err := exec.LookPath("pg_ctl"); err == nil {
		folders = append(folders, filepath.Dir(found))
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "initdb")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(folder, "pg_ctl")); err == nil {
			return folder
		}
	}
	return ""
}

func (c *cluster) url() string {
	return "postgres://postgres@127.0.0.1:" + c.port + "/postgres?sslmode=disable"
}

func (c *cluster) command(program string, args ...string) *exec.Cmd {
	args = append([]string{filepath.Join(c.programs, program)}, args...)
	if c.account != nil {
		args = append([]string{"runuser", "-u", c.account.Username, "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Dir(c.data)
	return cmd
}

func (c *cluster) run(program string, args ...string) {
	c.t.Helper()
	out, err := c.command(program, args...).CombinedOutput()
	require.NoError(c.t, err, "%s: %s", program, out)
}

// start starts the server and waits until it accepts connections.
func (c *cluster) start() (took time.Duration) {
	c.t.Helper()
	began := time.Now()
	c.run("pg_ctl", "-D", c.data, "-l", filepath.Join(filepath.Dir(c.data), "log"), "-w", "-t", "60", "start")
	return time.Since(began)
}

// stop stops the server and waits until it is down. mode is "fast", a clean shutdown that aborts
// transactions, or "immediate", a crash.
func (c *cluster) stop(mode string) {
	c.t.Helper()
	c.run("pg_ctl", "-D", c.data, "-m", mode, "-w", "-t", "60", "stop")
}

// resetSettings undoes ALTER SYSTEM while the server is down.
func (c *cluster) resetSettings() {
	c.t.Helper()
	require.NoError(c.t, os.Truncate(filepath.Join(c.data, "postgresql.auto.conf"), 0))
}
