package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

// runCommand runs a command of the service in a directory, with no other variables than env. It
// returns everything that it printed, and the exit code.
func runCommand(t *testing.T, dir string, env []string, args ...string) (out string, code int) {
	t.Helper()
	p, err := program(dir)
	require.NoError(t, err)
	p.Env = append([]string{"FLOWHOOK_TEST_PROCESS=1", "PATH=" + os.Getenv("PATH")}, env...)
	p.Args = append(p.Args, args...)
	p.Stdout = p.log // as is standard error
	stuck := time.AfterFunc(time.Minute, func() { p.Process.Kill() })
	defer stuck.Stop()
	err = p.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return p.log.String(), p.ProcessState.ExitCode()
}

// broken writes an auth.yml with two unknown hooks.
func broken(t *testing.T) (path string) {
	return withConfig(t, "- hook: new_device # emails", "- hook: new_devices\n          - hook: auditt # emails")
}

// written writes an auth.yml.
func written(t *testing.T, text string) (path string) {
	path = filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestCommand_Help(t *testing.T) {
	for _, arg := range []string{"--help", "-h", "help"} {
		out, code := runCommand(t, t.TempDir(), []string{"ADDR=nonsense"}, arg)
		require.Equal(t, 0, code)
		for _, name := range []string{"authservice check", "authservice audit USER", "authservice version"} {
			require.Contains(t, out, name)
		}
		for _, v := range allVariables(exampleProvider) {
			require.Contains(t, out, "\n  "+v.name+"\n")
			require.Contains(t, out, " "+v.name+"="+v.example+"\n")
		}
	}
}

func TestCommand_Version(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		out, code := runCommand(t, t.TempDir(), nil, arg)
		require.Equal(t, 0, code)
		require.Regexp(t, `^authservice \S+ go1\.\S+ \w+/\w+\n$`, out)
	}
}

func TestCommand_Unknown(t *testing.T) {
	for _, args := range [][]string{{"serve"}, {"check", "twice"}, {"--addr=:80"}} {
		out, code := runCommand(t, t.TempDir(), nil, args...)
		require.Equal(t, 2, code, args)
		require.Contains(t, out, "--help", args)
	}
}

// TestServe_BrokenHooks checks that a service that cannot start because of its auth.yml opens no
// database, and reports every error on a line of its own.
func TestServe_BrokenHooks(t *testing.T) {
	dir := t.TempDir()
	env := []string{"ADDR=127.0.0.1:0", "ADMIN_LISTEN=off", "SMTP_URL=smtp://127.0.0.1:1", "AUTH_CONFIG=" + broken(t),
		"PUBLIC_URL=https://accounts.example.org", "TRUSTED_PROXIES=127.0.0.1", "MAIL_FROM=accounts@example.org"}
	out, code := runCommand(t, dir, env)
	require.Equal(t, 1, code)
	require.Regexp(t, `(?m)^authservice: .*unknown hook "new_devices"`, out)
	require.Regexp(t, `(?m)^authservice: .*unknown hook "auditt"`, out)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	out, code = runCommand(t, dir, append(env, "LOG_FORMAT=json"))
	require.Equal(t, 1, code)
	require.Len(t, jsonLines(t, out), 2)
}

// TestServe_MissingHooks checks that a file without hooks is an error, and that a start warns of one
// without those that most services need.
func TestServe_MissingHooks(t *testing.T) {
	dir := t.TempDir()
	out, code := runCommand(t, dir, []string{"ADDR=127.0.0.1:0", "ADMIN_LISTEN=off", "AUTH_CONFIG=" + written(t, "")})
	require.Equal(t, 1, code)
	require.Contains(t, out, "auth.yml has no hooks")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	s := newSite(t, "sqlite:"+filepath.Join(dir, "db"), "AUTH_CONFIG", written(t, onlyAudit))
	require.Len(t, s.log.lines("level=WARN", "AUTH_CONFIG: login has no rate_limit at before"), 1)
}

// jsonLines parses output of which every line is an object.
func jsonLines(t *testing.T, out string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &object), line)
		lines = append(lines, object)
	}
	return lines
}

// TestServe_Environment checks that all problems of the environment are reported at once.
func TestServe_Environment(t *testing.T) {
	dir := t.TempDir()
	env := []string{"ADDR=8080", "DATABASE_URL=mysql://x", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "MAIL_FROM=nobody",
		"SMTP_URL=mail.example.org", "PUBLIC_URL=http://accounts.example.org", "OIDC_PROVIDERS=Acme",
		"TRUSTED_PROXIES=proxy", "SESSION_SECRETS=short", "MAIL_RESCUE_AFTER=2", "ADMIN_LISTEN=8090", "SHUTDOWN_DELAY=5"}
	out, code := runCommand(t, dir, append(env, "SMPT_URL=x"))
	require.Equal(t, 1, code)
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		require.Regexp(t, "(?m)^authservice: "+name+" .*; for example "+name+"=", out)
	}
	require.Contains(t, out, "unknown environment variable SMPT_URL; did you mean SMTP_URL?")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestSplit checks that only joined errors are split, and no text is lost.
func TestSplit(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	require.Equal(t, []error{a}, split(a))
	require.Equal(t, []error{a, b, c}, split(errors.Join(errors.Join(a, b), c)))
	for _, whole := range []error{fmt.Errorf("%w and %w", a, b), fmt.Errorf("both: %w", errors.Join(a, b))} {
		require.Equal(t, []error{whole}, split(whole))
	}
}

// TestServe_AddressInUse checks that the message names the variable.
func TestServe_AddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	used := l.Addr().String()
	for _, c := range []struct{ env, want string }{
		{"ADDR=" + used, "authservice: ADDR cannot be used"},
		{"ADMIN_LISTEN=" + used, "authservice: ADMIN_LISTEN cannot be used"},
	} {
		out, code := runCommand(t, t.TempDir(), []string{"ADDR=127.0.0.1:0", "ADMIN_LISTEN=off",
			"SMTP_URL=smtp://127.0.0.1:1", c.env})
		require.Equal(t, 1, code)
		require.Contains(t, out, c.want)
		require.Contains(t, out, "for example")
	}
}

// TestCheck checks the result and the exit code, and that nothing is created.
func TestCheck(t *testing.T) {
	provider, other := newFakeProvider(t).URL, newFakeProvider(t).URL
	mail := fakeMailServer(t, "220 mail.example.org ESMTP")
	silent := fakeMailServer(t, "554 go away")
	missing := "sqlite:" + filepath.Join(t.TempDir(), "missing", "db")
	emptySecret := filepath.Join(t.TempDir(), "db")
	require.NoError(t, os.WriteFile(emptySecret+".secret", nil, 0o600))
	for _, c := range []struct {
		name string
		env  []string
		code int
		want []string
	}{
		{"mail server", nil, 0, []string{"ok       environment\n", "ok       hooks: built in\n",
			"ok       database: sqlite:authservice.db (will be created)\n", "errors: 0, warnings: 0\n"}},
		{"all servers", []string{"OIDC_PROVIDERS=acme,globex", "OIDC_ACME_ISSUER=" + provider, "OIDC_ACME_CLIENT_ID=x",
			"OIDC_GLOBEX_ISSUER=" + other, "OIDC_GLOBEX_CLIENT_ID=y"}, 0,
			[]string{"ok       mail server: " + mail, "ok       OpenID provider acme: " + provider,
				"ok       OpenID provider globex: " + other}},
		{"misspelled variable", []string{"SMTP_URI=x"}, 2, []string{"error    unknown environment variable SMTP_URI; " +
			"did you mean SMTP_URL?", "errors: 1, warnings: 0\n"}},
		{"variable of a platform", []string{"SMTP_HOST=x"}, 1, []string{"warning  unknown environment variable SMTP_HOST; " +
			"did you mean SMTP_URL?", "errors: 0, warnings: 1\n"}},
		{"proxy", []string{"TRUSTED_PROXIES="}, 1, []string{"warning  TRUSTED_PROXIES"}},
		{"hooks", []string{"AUTH_CONFIG=" + broken(t)}, 2, []string{`unknown hook "new_devices"`,
			`unknown hook "auditt"`, "errors: 2, warnings: 0\n"}},
		{"no hooks", []string{"AUTH_CONFIG=" + written(t, "")}, 2,
			[]string{"error    AUTH_CONFIG: ", "auth.yml has no hooks"}},
		{"missing hooks", []string{"AUTH_CONFIG=" + written(t, onlyAudit)}, 1, []string{
			"warning  AUTH_CONFIG: login has no rate_limit at before", "warning  AUTH_CONFIG: recovery has no rate_limit",
			"warning  AUTH_CONFIG: registration has no verify"}},
		{"no file", []string{"AUTH_CONFIG=/nowhere/auth.yml"}, 2, []string{"error    AUTH_CONFIG does not name a file"}},
		{"warning in the hooks", []string{"AUTH_CONFIG=" + withSecrets(t, "an-only-secret-for-this-example")}, 1,
			[]string{"warning  AUTH_CONFIG: "}},
		{"weak secret", []string{"SESSION_SECRETS=" + testSecret}, 1, []string{"warning  SESSION_SECRETS: "}},
		{"no directory", []string{"DATABASE_URL=" + missing}, 2, []string{"error    DATABASE_URL "}},
		{"no database", []string{"DATABASE_URL=sqlite:" + withSecrets(t, testSecret)}, 2,
			[]string{"error    DATABASE_URL names something that cannot be used: "}},
		{"directory that cannot be written", []string{"DATABASE_URL=sqlite:/proc/db"}, 2,
			[]string{"error    DATABASE_URL names something that cannot be used: no file can be created in the directory /proc"}},
		{"empty secret", []string{"DATABASE_URL=sqlite:" + emptySecret, "SESSION_SECRETS="}, 2,
			[]string{emptySecret + ".secret is empty; restore it"}},
		{"no PostgreSQL", []string{"DATABASE_URL=postgres://me:hunter2@127.0.0.1:1/db", "SESSION_SECRETS=" + newSecret()},
			2, []string{"error    DATABASE_URL ", "errors: 1, warnings: 0\n"}},
		{"mail server that refuses", []string{"SMTP_URL=smtp://me:hunter2@" + silent}, 2,
			[]string{"error    SMTP_URL ", "go away"}},
		{"one provider down", []string{"OIDC_PROVIDERS=acme,globex", "OIDC_ACME_ISSUER=" + provider, "OIDC_ACME_CLIENT_ID=x",
			"OIDC_GLOBEX_ISSUER=http://127.0.0.1:1", "OIDC_GLOBEX_CLIENT_ID=x"}, 2,
			[]string{"ok       OpenID provider acme: ", "error    OIDC_GLOBEX_ISSUER names something that cannot be used: ",
				"for example OIDC_GLOBEX_ISSUER="}},
		{"variable of an unknown provider", []string{"OIDC_PROVIDERS=acme", "OIDC_ACME_ISSUER=" + provider,
			"OIDC_ACME_CLIENT_ID=x", "OIDC_GLOBEX_NAME=Globex"}, 1, []string{"warning  unknown environment variable " +
			"OIDC_GLOBEX_NAME; OIDC_PROVIDERS does not have globex; for example OIDC_PROVIDERS=acme,globex"}},
		{"everything at once", []string{"ADDR=8080", "AUTH_CONFIG=" + broken(t), "SMTP_URL=smtp://" + silent,
			"DATABASE_URL=" + missing}, 2, []string{"error    ADDR ", "new_devices", "error    DATABASE_URL ",
			"error    SMTP_URL ", "errors: 5,"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			out, code := runCommand(t, dir, append([]string{"SMTP_URL=smtp://" + mail, "MAIL_FROM=accounts@example.org",
				"PUBLIC_URL=https://accounts.example.org", "TRUSTED_PROXIES=127.0.0.1"}, c.env...), "check")
			require.Equal(t, c.code, code, out)
			for _, want := range c.want {
				require.Contains(t, out, want)
			}
			require.NotContains(t, out, "hunter2")
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// TestCheck_Running checks a service that runs, and that check leaves its database as it is.
func TestCheck_Running(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		env := []string{"DATABASE_URL=" + database, "SESSION_SECRETS=" + newSecret(), "SMTP_URL=smtp://" +
			fakeMailServer(t, "220 mail.example.org ESMTP"), "MAIL_FROM=accounts@example.org",
			"PUBLIC_URL=https://accounts.example.org", "TRUSTED_PROXIES=127.0.0.1"}
		newSite(t, database)
		out, code := runCommand(t, t.TempDir(), env, "check")
		require.Equal(t, 0, code, out)
		require.NotContains(t, out, "will be created")
		require.NotContains(t, out, "pending")
	})
}

// TestMigrations checks that check counts the pending migrations without applying them, that a start
// logs each one, and that both refuse a database that a newer version has migrated.
func TestMigrations(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		checked := func() string {
			out, _ := runCommand(t, t.TempDir(), []string{"DATABASE_URL=" + database, "SESSION_SECRETS=" + newSecret()}, "check")
			return out
		}
		c := config{Dialect: sqlstore.SQLite, Database: strings.TrimPrefix(database, "sqlite:")}
		if database == c.Database {
			c.Dialect = sqlstore.PostgreSQL
		}
		db, err := openDatabase(t.Context(), c)
		require.NoError(t, err)
		defer db.Close()
		for range 2 {
			require.Regexp(t, `database: .* \(\d+ migrations are pending\)`, checked())
		}
		log := newSite(t, database).log
		require.Len(t, log.lines("level=INFO", "migrated the database", "00003_address_changes.sql"), 1)
		require.Empty(t, newSite(t, database).log.lines("migrated the database"))

		_, err = db.Exec("DELETE FROM authservice_migrations WHERE version_id = 3")
		require.NoError(t, err)
		require.Contains(t, checked(), " (1 migration is pending)")

		_, err = db.Exec("INSERT INTO authservice_migrations (version_id, is_applied) VALUES (1000, TRUE)")
		require.NoError(t, err)
		const newer = "a newer version of this program has migrated the database: authservice_migrations has version 1000"
		require.Contains(t, checked(), newer)
		out, code := runCommand(t, t.TempDir(), []string{"DATABASE_URL=" + database, "SESSION_SECRETS=" + newSecret(),
			"ADDR=127.0.0.1:0", "ADMIN_LISTEN=off"})
		require.Equal(t, 1, code)
		require.Contains(t, out, newer)
	})
}

// fakeMailServer returns the address of a mail server with this greeting, which knows EHLO and
// QUIT.
func fakeMailServer(t *testing.T, greeting string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Write([]byte(greeting + "\r\n"))
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					conn.Write([]byte("250 mail.example.org\r\n"))
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestServe_EmptyDirectory runs the service without configuration in an empty directory, with the
// auth.yml that is built in. A reload says that there is nothing to reload.
func TestServe_EmptyDirectory(t *testing.T) {
	p, err := startProcess(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { p.Process.Kill() })
	status, body := get(t, p.url+"/login")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "Sign in")
	status, body = get(t, p.url+debugPath)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "new_device")
	require.Contains(t, p.started(t), `auth_config="built in"`)
	require.NoError(t, p.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return len(p.log.lines("level=WARN", "set AUTH_CONFIG to a file")) == 1 },
		20*time.Second, 2*time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait(), p.log)
}
