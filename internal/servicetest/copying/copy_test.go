// Package copying_test does what "Copying it" in the README of examples/authservice says.
package copying_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// folder is the service's folder.
const folder = "../../../examples/authservice"

// A service is a copy of the folder, outside of the repository.
type service struct {
	t         *testing.T
	directory string
}

// newCopy copies the files that git knows or would add.
func newCopy(t *testing.T) service {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	list.Dir = folder
	out, err := list.Output()
	require.NoError(t, err)
	s := service{t, t.TempDir()}
	copied := 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if os.IsNotExist(err) { // deleted, but not yet for git
			continue
		}
		require.NoError(t, err)
		s.write(name, string(data))
		copied++
	}
	require.Greater(t, copied, 50)
	return s
}

func (s service) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.directory, name)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o600))
}

// change replaces the only old in a file.
func (s service) change(name, old, new string) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.directory, name))
	require.NoError(s.t, err)
	require.Equal(s.t, 1, strings.Count(string(data), old), "%s: %q", name, old)
	s.write(name, strings.Replace(string(data), old, new, 1))
}

// run runs a command in the copy, with no other variables of the service than env.
func (s service) run(env []string, name string, args ...string) (out string, err error) {
	command := exec.Command(name, args...)
	command.Dir = s.directory
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SMTP_URL=") {
			command.Env = append(command.Env, v)
		}
	}
	command.Env = append(append(command.Env, "GOWORK=off"), env...)
	output, err := command.CombinedOutput()
	return string(output), err
}

// requires runs a command that must succeed.
func (s service) requires(name string, args ...string) {
	s.t.Helper()
	out, err := s.run(nil, name, args...)
	require.NoError(s.t, err, out)
}

// repository lets the replace lines of go.mod point to the repository, because no version of
// flowhook is published.
func (s service) repository() {
	root, err := filepath.Abs("../../..")
	require.NoError(s.t, err)
	data, err := os.ReadFile(filepath.Join(s.directory, "go.mod"))
	require.NoError(s.t, err)
	text := strings.ReplaceAll(string(data), "=> ../..", "=> "+root)
	text = strings.ReplaceAll(text, "=> ../", "=> "+filepath.Join(root, "examples")+"/")
	require.NotContains(s.t, text, "=> ..")
	s.write("go.mod", text)
}

// TestCopy checks that a copy needs another module path and nothing else. vet also compiles its
// tests, which cannot use packages in internal.
func TestCopy(t *testing.T) {
	s := newCopy(t)
	s.repository()
	s.change("go.mod", "module github.com/flowhook/flowhook/examples/authservice", "module example.org/accounts")
	s.requires("go", "vet", "./...")
	s.requires("go", "test", "-run", "TestConfig|TestVariables|TestDockerfile|TestCompose|TestREADME_Variables", ".")
}

// TestCopy_WithoutDevelopment removes the inbox and the provider for development. The service then
// needs a mail server.
func TestCopy_WithoutDevelopment(t *testing.T) {
	s := newCopy(t)
	s.repository()
	for _, name := range []string{"dev.go", "dev_test.go"} {
		require.NoError(t, os.Remove(filepath.Join(s.directory, name)))
	}
	s.change("app.go", "\tif err := a.openDevelopment(&c, log); err != nil {\n\t\treturn a, err\n\t}\n", "")
	s.change("serve.go", "\tif text := c.developmentText(); text != \"\" {\n\t\twarnings = append(warnings, text)\n\t}\n", "")
	s.change("config.go", " && !c.hasInbox()", "")
	s.requires("go", "vet", "./...")
	s.requires("go", "test", "-run", "TestConfig|TestVariables|TestTour", ".")

	program := filepath.Join(s.directory, "authservice")
	s.requires("go", "build", "-o", program, ".")
	out, err := s.run(nil, program, "check")
	require.Error(t, err)
	require.Contains(t, out, "error    SMTP_URL is missing")
	out, _ = s.run([]string{"SMTP_URL=smtp://127.0.0.1:1"}, program, "check")
	require.NotContains(t, out, "SMTP_URL is missing")
}
