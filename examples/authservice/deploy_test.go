package main

import (
	"cmp"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// requireValid requires that the service knows all variables of a deployment and accepts their
// values.
func requireValid(t *testing.T, environment map[string]string) {
	t.Helper()
	for name := range environment {
		require.True(t, known(name, variables), name)
	}
	_, err := readConfig(func(name string) string { return environment[name] })
	require.NoError(t, err)
}

// assignments returns the NAME=value pairs of a line.
func assignments(t *testing.T, line string) map[string]string {
	t.Helper()
	pairs := map[string]string{}
	for pair := range strings.FieldsSeq(line) {
		name, value, found := strings.Cut(pair, "=")
		require.True(t, found, pair)
		pairs[name] = value
	}
	require.NotEmpty(t, pairs)
	return pairs
}

// image returns the variables that the Dockerfile sets.
func image(t *testing.T) map[string]string {
	found := regexp.MustCompile(`(?m)^ENV (.*)$`).FindStringSubmatch(readFile(t, "Dockerfile"))
	require.NotNil(t, found)
	return assignments(t, found[1])
}

// TestDockerfile checks the variables and the paths of the Dockerfile.
func TestDockerfile(t *testing.T) {
	environment := image(t)
	environment["PUBLIC_URL"], environment["SMTP_URL"] = "https://accounts.example.org", "smtp://mail.example.org"
	environment["MAIL_FROM"] = "accounts@example.org"
	requireValid(t, environment)
	text := readFile(t, "Dockerfile")
	require.Regexp(t, `(?m)^EXPOSE `+environment["ADDR"][1:]+`$`, text)
	volume := regexp.MustCompile(`(?m)^VOLUME (.*)$`).FindStringSubmatch(text)
	require.NotNil(t, volume)
	require.True(t, strings.HasPrefix(environment["DATABASE_URL"], "sqlite:"+volume[1]+"/"))
	require.Contains(t, text, "go build -C $DIR ")
	require.Contains(t, text, "-X main.release=$VERSION", "the name of the variable in help.go")
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "go.mod"))
	require.NotNil(t, goVersion)
	require.Contains(t, text, "FROM golang:"+goVersion[1]+" AS build")
}

// TestCompose checks that the service knows the variables of compose.yaml, and that what the file
// refers to exists.
func TestCompose(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
			Ports       []string
			DependsOn   map[string]any `yaml:"depends_on"`
			Build       struct{ Context, Dockerfile string }
			Volumes     []string
		}
		Volumes map[string]any
	}
	decoder := yaml.NewDecoder(strings.NewReader(readFile(t, "compose.yaml")))
	require.NoError(t, decoder.Decode(&compose))
	service := compose.Services["authservice"]
	require.FileExists(t, filepath.Join(interpolated(service.Build.Context, nil), interpolated(service.Build.Dockerfile, nil)))
	for name := range service.DependsOn {
		require.Contains(t, compose.Services, name)
	}
	for name, one := range compose.Services {
		require.True(t, one.Build.Context != "" || regexp.MustCompile(`:v?\d`).MatchString(one.Image),
			"%s: an image without a version", name)
		for _, port := range one.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s publishes %s to everyone", name, port)
		}
		for _, volume := range one.Volumes {
			require.Contains(t, compose.Volumes, strings.Split(volume, ":")[0])
		}
	}
	environment := image(t)
	for name, value := range service.Environment {
		environment[name] = interpolated(value, map[string]string{"SESSION_SECRETS": testSecret})
	}
	requireValid(t, environment)
	c, err := readConfig(func(name string) string { return environment[name] })
	require.NoError(t, err)
	postgres := compose.Services["postgres"].Environment
	require.Equal(t, fmt.Sprintf("postgres://%s:%s@postgres:5432/%s", postgres["POSTGRES_USER"],
		interpolated(postgres["POSTGRES_PASSWORD"], nil), postgres["POSTGRES_DB"]), c.Database)
	require.Contains(t, compose.Services, strings.Split(hostOf(c.SMTP), ":")[0])
}

// interpolated replaces ${NAME:-default} and ${NAME:?error} as docker compose does.
func interpolated(value string, set map[string]string) string {
	return regexp.MustCompile(`\$\{(\w+):([-?])([^}]*)\}`).ReplaceAllStringFunc(value, func(s string) string {
		name, rest, _ := strings.Cut(s[2:len(s)-1], ":")
		if rest[0] == '-' {
			return cmp.Or(set[name], rest[1:])
		}
		return set[name]
	})
}

// TestUnit checks the variables of the systemd unit, and the unit itself with systemd.
func TestUnit(t *testing.T) {
	text := readFile(t, "authservice.service")
	found := regexp.MustCompile(`(?m)^Environment=(.*)$`).FindStringSubmatch(text)
	require.NotNil(t, found)
	unit, _, _ := strings.Cut(text, "[Service]")
	require.Contains(t, unit, "\nStartLimitIntervalSec=0\n", "a long outage of the database must not end the restarts")
	require.Contains(t, text, "\nRestartSec=5\n")
	environment := assignments(t, found[1])
	environment["PUBLIC_URL"], environment["SMTP_URL"] = "https://accounts.example.org", "smtp://mail.example.org"
	environment["MAIL_FROM"] = "accounts@example.org"
	requireValid(t, environment)
	state := regexp.MustCompile(`(?m)^StateDirectory=(.*)$`).FindStringSubmatch(text)
	require.NotNil(t, state)
	require.True(t, strings.HasPrefix(environment["DATABASE_URL"], "sqlite:/var/lib/"+state[1]+"/"))

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		missing(t, "systemd-analyze")
	}
	program, err := os.Executable() // systemd-analyze wants one that exists
	require.NoError(t, err)
	require.Contains(t, text, "ExecStart=/usr/local/bin/authservice\n")
	unit = filepath.Join(t.TempDir(), "authservice.service")
	require.NoError(t, os.WriteFile(unit, []byte(strings.Replace(text, "/usr/local/bin/authservice", program, 1)), 0o600))
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "authservice.service:", "it only warns about an unknown key")
}

// TestStaticBinary builds the binary of the Dockerfile and runs it in an empty directory.
func TestStaticBinary(t *testing.T) {
	program := filepath.Join(t.TempDir(), "authservice")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.release=v1.2.3", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	if runtime.GOOS == "linux" {
		file, err := elf.Open(program)
		require.NoError(t, err)
		defer file.Close()
		for _, part := range file.Progs {
			require.NotEqual(t, elf.PT_INTERP, part.Type, "the binary needs a dynamic linker")
		}
	}
	version, err := exec.Command(program, "version").Output()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(version), "authservice v1.2.3 go1."), string(version))

	p := &process{Cmd: exec.Command(program), log: &lockedBuffer{}}
	p.Dir, p.Stderr, p.Env = t.TempDir(), p.log, []string{"ADDR=127.0.0.1:0", "ADMIN_LISTEN=127.0.0.1:0",
		"SMTP_URL=smtp://127.0.0.1:1"}
	require.NoError(t, p.begin())
	t.Cleanup(func() { p.Process.Kill() })
	for _, path := range []string{"/livez", "/readyz", "/", "/static/style.css"} {
		status, _ := get(t, p.url+path)
		require.Equal(t, 200, status, path)
	}
	require.Contains(t, p.started(t), "version=v1.2.3")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait(), p.log)
}

// TestREADME_Variables compares the table of variables with the program.
func TestREADME_Variables(t *testing.T) {
	want := "\n\n| variable | what it is | example |\n|---|---|---|\n"
	for _, v := range allVariables(exampleProvider) {
		want += fmt.Sprintf("| `%s` | %s | `%s` |\n", v.name, v.text(), v.example)
	}
	_, after, found := strings.Cut(readFile(t, "README.md"), "<!-- variables -->")
	require.True(t, found)
	got, _, found := strings.Cut(after, "\n<!-- /variables -->")
	require.True(t, found)
	require.Equal(t, want, got)
}
