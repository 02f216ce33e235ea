package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A step is a run of go test.
type step struct {
	name   string
	module string   // its folder
	env    []string // beside the program's own
	args   []string
}

const (
	doesNotCompile = "it does not compile"
	hangs          = "it did not end"
)

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// goCommand is what gremlins runs as go, once before it changes anything, and once for each change.
func goCommand(args []string) (code int) {
	if len(args) == 0 || args[0] != "test" {
		return failure(realGo(".", nil, os.Stdout, args...))
	}
	p, err := find(os.Getenv("MUTATION_PLACE"))
	if err != nil {
		return failure(err)
	}
	root, err := os.Getwd() // of the copy, or the package's folder in it
	if err != nil {
		return failure(err)
	}
	root = strings.TrimSuffix(root, string(filepath.Separator)+filepath.FromSlash(p.dir))
	if err := realGo(root, nil, io.Discard, "build", "./"+p.dir); err != nil {
		note(doesNotCompile)
		return 2 // to gremlins, that it is not viable
	}
	for _, s := range p.steps {
		var out bytes.Buffer
		test := append([]string{"test", "-count=1", "-failfast", "-vet=off"}, s.args...)
		if err := realGo(filepath.Join(root, s.module), s.env, &out, test...); err != nil {
			os.Stdout.Write(out.Bytes())
			note(s.name + ": " + why(out.Bytes()))
			return 1
		}
	}
	if i := slices.Index(args, "-coverprofile"); i >= 0 {
		return failure(os.WriteFile(args[i+1], p.covered(), 0o600))
	}
	return 0
}

// why gives the test that failed, the innermost of the last.
func why(out []byte) string {
	if bytes.Contains(out, []byte("panic: test timed out")) {
		return hangs
	}
	if failed := failedTest.FindAllSubmatch(out, -1); failed != nil {
		return string(failed[len(failed)-1][1])
	}
	return "it breaks off"
}

// covered is a profile in which all of the target's files are covered, and nothing else.
func (p target) covered() []byte {
	profile := "mode: set\n"
	for _, file := range p.files {
		profile += path.Join(module, p.dir, file) + ":1.1,1000000.1 1 1\n"
	}
	return []byte(profile)
}

func realGo(dir string, env []string, out io.Writer, args ...string) error {
	cmd := exec.Command(os.Getenv("MUTATION_GO"), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// note says to the program that runs gremlins why the tests failed; gremlins itself takes only that they did.
func note(text string) { os.WriteFile(os.Getenv("MUTATION_NOTES"), []byte(text), 0o600) }

func failure(err error) (code int) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}
