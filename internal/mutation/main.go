// Command mutation changes the code of the run and of the stores, one operator at a time, and has the tests notice. It fails
// where no test does and survivors.md does not say why.
//
//	go run ./internal/mutation [store/memstore] [internal/stage] [exchange.go] ...
//
// github.com/go-gremlins/gremlins makes the changes, in a copy. What it runs as the go command is this program, which is
// stricter than the real one: a change that does not compile is none, where gremlins would take it for noticed, and what
// vet says does not count. Every operator is changed, since coverage does not know all that runs (the conditions of a
// switch, say). The tests of a store are all that it has, those in other modules included; those of the run are the root
// package's.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const gremlins = "github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0"

// arguments are those of gremlins: with each kind of change that it does not make by itself, and no limit of its own to
// how long a test may take.
var arguments = []string{"unleash", "--workers=1", "--timeout-coefficient=1000", "--invert-assignments", "--invert-bitwise",
	"--invert-bwassign", "--invert-logical", "--invert-loopctrl", "--remove-self-assignments"}

func main() {
	if filepath.Base(os.Args[0]) == "go" {
		os.Exit(goCommand(os.Args[1:]))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run(places []string) error {
	if len(places) == 0 {
		for _, p := range targets {
			places = append(places, p.dir)
		}
	}
	bin, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	env, err := environment(bin)
	if err != nil {
		return err
	}
	var all []mutant
	for _, place := range places {
		p, err := find(place)
		if err != nil {
			return err
		}
		mutants, err := unleash(bin, append(env, "MUTATION_PLACE="+place), p.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		all = append(all, mutants...)
	}
	return report(all)
}

// environment installs gremlins in bin, and puts this program beside it as go.
func environment(bin string) (env []string, err error) {
	realGo, err := exec.LookPath("go")
	if err != nil {
		return nil, err
	}
	install := exec.Command(realGo, "install", gremlins)
	install.Env = append(os.Environ(), "GOBIN="+bin)
	install.Stderr = os.Stderr
	if err := install.Run(); err != nil {
		return nil, fmt.Errorf("install gremlins: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "MUTATION_GO="+realGo,
		"MUTATION_NOTES="+filepath.Join(bin, "notes")), os.Symlink(self, filepath.Join(bin, "go"))
}

// A mutant is one change, and what became of it.
type mutant struct {
	place, kind string // place is the file's
	line        int
	code        string // the line, with a mark before what was changed
	status      string // in gremlins' words
	by          string // which tests noticed, and how
}

func (m mutant) lives() bool  { return m.status != "KILLED" && m.status != "NOT VIABLE" }
func (m mutant) hangs() bool  { return strings.HasSuffix(m.by, hangs) }
func (m mutant) viable() bool { return m.status != "NOT VIABLE" }

var mutantLine = regexp.MustCompile(`^\s*([A-Z ]+) ([A-Z_]+) at (\S+):(\d+):(\d+)$`)

// unleash has gremlins make all changes to a package, one after the other, and prints what becomes of each.
func unleash(bin string, env []string, dir string) (mutants []mutant, err error) {
	cmd := exec.Command(filepath.Join(bin, "gremlins"), append(arguments, "./"+dir)...)
	cmd.Env = env
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fields := mutantLine.FindStringSubmatch(lines.Text())
		if fields == nil {
			fmt.Println(lines.Text())
			continue
		}
		if fields[1] == "NOT COVERED" {
			continue // another file than the target's
		}
		m := mutant{place: path.Join(dir, fields[3]), kind: fields[2], status: fields[1]}
		m.line, _ = strconv.Atoi(fields[4])
		column, _ := strconv.Atoi(fields[5])
		if m.code, err = marked(m.place, m.line, column); err != nil {
			return nil, err
		}
		by, _ := os.ReadFile(filepath.Join(bin, "notes"))
		os.Remove(filepath.Join(bin, "notes"))
		m.by = string(by)
		fmt.Printf("%s %s:%d %s %s (%s)\n", m.status, m.place, m.line, m.kind, m.code, m.by)
		mutants = append(mutants, m)
	}
	return mutants, cmd.Wait()
}

// marked gives a line, with a mark at the column.
func marked(file string, line, column int) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	code := strings.Split(string(text), "\n")[line-1]
	return strings.TrimSpace(code[:column-1] + "▸" + code[column-1:]), nil
}
