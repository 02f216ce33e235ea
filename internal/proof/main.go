// Command proof runs all that the project claims, in every module, and prints one table of what was shown, how often,
// and with which seeds. Tests say so in log lines that begin with "proof: ".
//
//	go run ./internal/proof [-tenth] [test] [race] [fuzz] [bench]
//
// A test that skips is in the table, and with FLOWHOOK_NO_SKIP it fails. Without names it runs all four steps. With -tenth, counts of repetition and the time of fuzzing shrink to about a tenth, the
// faults on databases meet fewer chains, and the benchmarks' large tables are smaller and their load shorter; the tests that
// start the service's processes repeat little under race, with -tenth or without.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// row is a line of the table.
type row struct {
	step, where, shown string
	took               time.Duration
	passed             bool
	over               bool // a timing is over its bound; that is printed, and fails nothing
}

type prover struct {
	tenth   bool
	modules []string
	rows    []row
}

func main() {
	tenth := flag.Bool("tenth", false, "do about a tenth of it all")
	flag.Parse()
	p := &prover{tenth: *tenth, modules: modules()}
	steps := flag.Args()
	if len(steps) == 0 {
		steps = []string{"test", "race", "fuzz", "bench"}
	}
	for _, step := range steps {
		switch step {
		case "test":
			p.test(step)
		case "race":
			p.test(step, "-race")
		case "fuzz":
			p.fuzz()
		case "bench":
			p.bench()
		default:
			fmt.Fprintf(os.Stderr, "proof: unknown step %q; there are test, race, fuzz and bench\n", step)
			os.Exit(2)
		}
	}
	if !p.print(os.Stdout) {
		os.Exit(1)
	}
}

// modules gives the folders that have a go.mod.
func modules() []string {
	var dirs []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "go.mod" {
			dirs = append(dirs, filepath.Dir(path))
		}
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(2)
	}
	return dirs
}

// command is the go command in a module, with the counts that were asked for.
func (p *prover) command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "FLOWHOOK_PROOF=full")
	if p.tenth {
		cmd.Env = append(os.Environ(), "FLOWHOOK_PROOF=tenth")
	}
	cmd.Stderr = os.Stderr
	return cmd
}

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func (p *prover) test(step string, flags ...string) {
	for _, dir := range p.modules {
		args := append([]string{"test", "-json", "-count=1", "-timeout=30m"}, flags...)
		cmd := p.command(dir, append(args, "./...")...)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			p.rows = append(p.rows, row{step: step, where: dir, shown: err.Error()})
			continue
		}
		p.read(step, out)
		err = cmd.Wait()
		p.rows = append(p.rows, row{step: step, where: dir, shown: "all tests of the module", passed: err == nil})
	}
}

// read turns the output of go test -json into rows, and shows what fails.
func (p *prover) read(step string, out io.Reader) {
	said := map[string][]string{}    // by test
	printed := map[string][]string{} // by test
	passed, began := 0, time.Now()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(os.Stderr, lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			if _, what, ok := strings.Cut(e.Output, "proof: "); ok {
				said[key] = append(said[key], strings.TrimSpace(what))
			}
			printed[key] = append(printed[key], e.Output)
		case "skip":
			if e.Test != "" { // not a package without tests
				p.rows = append(p.rows, row{step: step, where: short(e.Package), shown: e.Test + " was skipped", passed: os.Getenv("FLOWHOOK_NO_SKIP") == ""})
			}
		case "pass", "fail":
			if e.Action == "fail" {
				fmt.Fprint(os.Stderr, strings.Join(printed[key], ""))
			} else if e.Test != "" {
				passed++
			}
			for _, what := range said[key] {
				p.rows = append(p.rows, row{step, short(e.Package), what, time.Duration(e.Elapsed * float64(time.Second)), e.Action == "pass", false})
			}
			delete(printed, key)
		}
	}
	fmt.Fprintf(os.Stderr, "proof: %s: %d tests passed in %s\n", step, passed, time.Since(began).Round(time.Second))
}

func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/flowhook/flowhook"), "/")
}

var executions = regexp.MustCompile(`execs: (\d+)`)

// fuzz runs every fuzz target for 100 seconds, or ten.
func (p *prover) fuzz() {
	each := "100s"
	if p.tenth {
		each = "10s"
	}
	for _, dir := range p.modules {
		list, err := p.command(dir, "test", "-list", "^Fuzz", "./...").Output()
		if err != nil {
			p.rows = append(p.rows, row{step: "fuzz", where: dir, shown: "the targets could not be listed: " + err.Error()})
		}
		var targets []string
		for line := range strings.Lines(string(list)) {
			fields := strings.Fields(line)
			if len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz") {
				targets = append(targets, fields[0])
			}
			if len(fields) > 1 && fields[0] == "ok" { // all before it are of this package
				for _, target := range targets {
					p.fuzzOne(dir, fields[1], target, each)
				}
				targets = nil
			}
		}
	}
}

func (p *prover) fuzzOne(dir, pkg, target, each string) {
	began := time.Now()
	cmd := p.command(dir, "test", "-run=^$", "-fuzz=^"+target+"$", "-fuzztime="+each, pkg)
	out, err := cmd.Output()
	if err != nil {
		os.Stderr.Write(out)
	}
	count := "?"
	if all := executions.FindAllSubmatch(out, -1); len(all) > 0 {
		count = string(all[len(all)-1][1])
	}
	p.rows = append(p.rows, row{"fuzz", short(pkg), target + ": " + count + " executions in " + each, time.Since(began), err == nil, false})
}

// bench prints the figures; it fails only if they cannot be had.
func (p *prover) bench() {
	cmd := p.command("internal/peerbench", "run", ".")
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(os.Stderr, &out)
	err := cmd.Run()
	for line := range strings.Lines(out.String()) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"); len(cells) > 3 && !strings.Contains(line, "---") && !strings.Contains(line, "ratio") {
			shown := strings.Join(strings.Fields(strings.Join(cells, ", ")), " ")
			p.rows = append(p.rows, row{"bench", "internal/peerbench", shown, 0, err == nil, strings.HasSuffix(shown, "OVER")})
		}
	}
	if err != nil {
		p.rows = append(p.rows, row{step: "bench", where: "internal/peerbench", shown: err.Error()})
	}
}

// print writes the table and says whether all of it passed.
func (p *prover) print(w io.Writer) bool {
	fmt.Fprintf(w, "\n%-5s %-4s %-24s %8s  %s\n", "", "", "package", "time", "what was shown")
	for _, r := range p.rows {
		mark := "FAIL"
		switch {
		case r.passed && r.over:
			mark = "OVER"
		case r.passed:
			mark = "pass"
		}
		fmt.Fprintf(w, "%-5s %-4s %-24s %8s  %s\n", r.step, mark, r.where, r.took.Round(10*time.Millisecond), r.shown)
	}
	return len(p.rows) > 0 && !slices.ContainsFunc(p.rows, func(r row) bool { return !r.passed })
}
