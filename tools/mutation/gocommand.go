package main

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A step is a run of go test.
type step struct {
	name   string
	module string   // the folder of its module
	env    []string // in addition to the program's own
	args   []string
}

const (
	doesNotCompile = "does not compile"
	hangs          = "timed out"
)

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// goCommand is what gremlins runs as the go command: once before the first change, with a coverage
// profile to write, and once for each change.
func goCommand(args []string) (code int) {
	if len(args) == 0 || args[0] != "test" {
		return failure(realGo(".", nil, os.Stdout, args...))
	}
	t, err := find(os.Getenv("MUTATION_PLACE"))
	if err != nil {
		return failure(err)
	}
	root, err := os.Getwd() // of the copy, or the package's folder in it
	if err != nil {
		return failure(err)
	}
	root = strings.TrimSuffix(root, string(filepath.Separator)+filepath.FromSlash(t.dir))
	if by, out := t.test(root); by != "" {
		os.Stdout.Write(out)
		note(by)
		if by == doesNotCompile {
			return 2 // which gremlins takes for not viable
		}
		return 1
	}
	if i := slices.Index(args, "-coverprofile"); i >= 0 {
		return failure(t.writeProfile(root, args[i+1]))
	}
	return 0
}

// test builds the package and runs its steps until one fails. It returns which step and which test
// failed, or doesNotCompile, and the output. If all steps pass, by is empty.
func (t target) test(root string) (by string, out []byte) {
	// In its folder, because it may be a module of its own.
	if err := realGo(filepath.Join(root, t.dir), nil, io.Discard, "build", "."); err != nil {
		return doesNotCompile, nil
	}
	for _, s := range t.steps {
		var out bytes.Buffer
		test := append([]string{"test", "-count=1", "-failfast", "-vet=off"}, s.args...)
		if err := realGo(filepath.Join(root, s.module), s.env, &out, test...); err != nil {
			return s.name + ": " + why(out.Bytes()), out.Bytes()
		}
	}
	return "", nil
}

// why returns the name of the last test that failed, the innermost one.
func why(out []byte) string {
	if bytes.Contains(out, []byte("panic: test timed out")) {
		return hangs
	}
	if failed := failedTest.FindAllSubmatch(out, -1); failed != nil {
		return string(failed[len(failed)-1][1])
	}
	return "exited early"
}

// writeProfile writes a coverage profile that covers the target's files, and nothing else.
func (t target) writeProfile(root, file string) error {
	names, err := t.files(root)
	if err != nil {
		return err
	}
	profile := "mode: set\n"
	for _, name := range names {
		profile += path.Join(module, t.dir, name) + ":1.1,1000000.1 1 1\n"
	}
	return os.WriteFile(file, []byte(profile), 0o600)
}

func realGo(dir string, env []string, out io.Writer, args ...string) error {
	cmd := exec.Command(cmp.Or(os.Getenv("MUTATION_GO"), "go"), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 10 * time.Second // processes that a test has left behind keep the output open
	return cmd.Run()
}

// note leaves word for takeNote why the tests failed. gremlins learns only that they did.
func note(text string) { os.WriteFile(os.Getenv("MUTATION_NOTES"), []byte(text), 0o600) }

func failure(err error) (code int) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}
