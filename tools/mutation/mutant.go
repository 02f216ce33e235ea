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

// arguments turn on the kinds of change that gremlins does not make by default, and turn off its
// own time limit.
var arguments = []string{"unleash", "--workers=1", "--timeout-coefficient=1000", "--invert-assignments", "--invert-bitwise",
	"--invert-bwassign", "--invert-logical", "--invert-loopctrl", "--remove-self-assignments"}

// A mutant is one change and its result.
type mutant struct {
	place, kind string // place is the file's path
	line        int
	code        string // the line, with a mark before the change
	status      string // as gremlins prints it
	by          string // which tests noticed, and how
}

func (m mutant) lives() bool  { return m.status != "KILLED" && m.status != "NOT VIABLE" }
func (m mutant) hangs() bool  { return strings.HasSuffix(m.by, hangs) }
func (m mutant) viable() bool { return m.status != "NOT VIABLE" }

func (m mutant) print() {
	fmt.Printf("%s %s:%d %s %s (%s)\n", m.status, m.place, m.line, m.kind, m.code, m.by)
}

var mutantLine = regexp.MustCompile(`^\s*([A-Z ]+) ([A-Z_]+) at (\S+):(\d+):(\d+)$`)

// unleash lets gremlins make all changes to a package, one after the other, and prints each result.
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
			continue // in a file outside the target
		}
		m := mutant{place: path.Join(dir, fields[3]), kind: fields[2], status: fields[1]}
		m.line, _ = strconv.Atoi(fields[4])
		column, _ := strconv.Atoi(fields[5])
		if m.code, err = marked(m.place, m.line, column); err != nil {
			return nil, err
		}
		m.by = takeNote(filepath.Join(bin, "notes"))
		m.print()
		mutants = append(mutants, m)
	}
	return mutants, cmd.Wait()
}

// takeNote returns what goCommand wrote about the last change, and removes it.
func takeNote(file string) string {
	text, _ := os.ReadFile(file)
	os.Remove(file)
	return string(text)
}

// marked returns a line of a file, with a mark at the column.
func marked(file string, line, column int) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	code := strings.Split(string(text), "\n")[line-1]
	return strings.TrimSpace(code[:column-1] + "▸" + code[column-1:]), nil
}
