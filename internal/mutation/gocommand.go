package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// packages are those whose code is changed, each with the tests that have to notice, the quickest first.
var packages = []target{
	{"store/memstore", []step{
		{"its own tests", ".", []string{"-timeout=30s", "./store/memstore"}, ""},
	}},
	{"store/sqlstore", []step{
		{"its own tests", ".", []string{"-timeout=30s", "./store/sqlstore"}, ""},
		{"SQLite", "internal/sqltest", []string{"-timeout=1m", "-skip=TestFaults", "."}, "FLOWHOOK_POSTGRES=\nFLOWHOOK_MARIADB=\nFLOWHOOK_NO_SKIP="},
		{"the others", "internal/sqltest", []string{"-timeout=2m", "-skip=TestFaults|TestIndexes|TestMigrations|TestProcesses|/SQLite", "."}, ""},
		{"faults", "internal/sqltest", []string{"-timeout=2m", "-run=TestFaults", "."}, ""},
	}},
}

type target struct {
	dir   string
	steps []step
}

// A step is a run of go test.
type step struct {
	name   string
	module string // its folder
	args   []string
	env    string // beside the own, one in a line
}

func find(dir string) (target, error) {
	for _, p := range packages {
		if p.dir == dir {
			return p, nil
		}
	}
	return target{}, fmt.Errorf("there are no tests known for %q", dir)
}

const hangs = "it did not end"

// goCommand is what gremlins runs as go. What is no test is the real one's.
func goCommand(args []string) (code int) {
	if len(args) == 0 || args[0] != "test" {
		return exit(real(".", "", os.Stdout, args...))
	}
	root, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		root = filepath.Dir(root)
	}
	p, err := find(os.Getenv("MUTATION_DIR"))
	if err != nil {
		return 1
	}
	if err := real(root, "", io.Discard, "build", "./"+p.dir); err != nil {
		note("it does not compile")
		return 2 // for gremlins: not viable
	}
	for _, s := range p.steps {
		var out bytes.Buffer
		test := append([]string{"test", "-count=1", "-failfast", "-vet=off"}, s.args...)
		if err := real(filepath.Join(root, s.module), s.env, &out, test...); err != nil {
			os.Stdout.Write(out.Bytes())
			switch failed := regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`).FindAllStringSubmatch(out.String(), -1); {
			case bytes.Contains(out.Bytes(), []byte("panic: test timed out")):
				note(s.name + ": " + hangs)
			case len(failed) > 0:
				note(s.name + ": " + failed[len(failed)-1][1])
			default:
				note(s.name + ": it breaks off")
			}
			return 1
		}
	}
	for i, arg := range args {
		if arg == "-coverprofile" {
			return exit(allCovered(args[i+1], root, p.dir))
		}
	}
	return 0
}

// allCovered writes a profile in which all of the package is covered.
func allCovered(profile, root, dir string) error {
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		return err
	}
	lines := "mode: set\n"
	for _, file := range files {
		lines += "github.com/flowhook/flowhook/" + dir + "/" + filepath.Base(file) + ":1.1,100000.1 1 1\n"
	}
	return os.WriteFile(profile, []byte(lines), 0o600)
}

// real runs the real go command.
func real(dir, env string, out io.Writer, args ...string) error {
	cmd := exec.Command(os.Getenv("MUTATION_GO"), args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	if env != "" {
		cmd.Env = append(cmd.Env, strings.Split(env, "\n")...)
	}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// note says to the program that runs gremlins why a run of the tests failed; gremlins itself hears only that it did.
func note(text string) {
	os.WriteFile(os.Getenv("MUTATION_NOTES"), []byte(text), 0o600)
}

func exit(err error) int {
	if err != nil {
		return 1
	}
	return 0
}
