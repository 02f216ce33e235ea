// Command mutation changes the code, one operator at a time, and shows which changes no test notices: those that are not
// in survivors.md, where each has its reason, make it fail.
//
//	go run ./internal/mutation [store/memstore] [store/sqlstore]
//
// The changes are made by github.com/go-gremlins/gremlins, in a copy. The go command that it finds is this program, which
// is stricter than gremlins by itself: a change that does not compile counts as no change, where gremlins would take
// the failure for a test's; what vet says does not count; every operator is changed, those that coverage does not know
// as well, such as the conditions of a switch; and the tests are those that are there for the package, in whatever module.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const gremlins = "github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0"

// kinds are those that gremlins does not make unless it is told to.
var kinds = []string{"--invert-assignments", "--invert-bitwise", "--invert-bwassign", "--invert-logical", "--invert-loopctrl",
	"--remove-self-assignments"}

func main() {
	if filepath.Base(os.Args[0]) == "go" {
		os.Exit(goCommand(os.Args[1:]))
	}
	names := os.Args[1:]
	if len(names) == 0 {
		for _, p := range packages {
			names = append(names, p.dir)
		}
	}
	if err := run(names); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	bin, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	real, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	install := exec.Command(real, "install", gremlins)
	install.Env = append(os.Environ(), "GOBIN="+bin)
	install.Stderr = os.Stderr
	if err := install.Run(); err != nil {
		return fmt.Errorf("install gremlins: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Symlink(self, filepath.Join(bin, "go")); err != nil {
		return err
	}
	listed, err := readList("internal/mutation/survivors.md")
	if err != nil {
		return err
	}
	var all []mutant
	for _, name := range names {
		mutants, err := unleash(bin, real, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, mutants...)
	}
	return report(all, listed)
}

// A mutant is one change, and what became of it.
type mutant struct {
	dir, file, kind string
	line, column    int
	status          string // as gremlins says it
	by              string // which step of the tests noticed, and how
	code            string // the line, with a mark before the operator
}

func (m mutant) place() string { return m.dir + "/" + m.file }

var mutantLine = regexp.MustCompile(`^\s*([A-Z ]+) ([A-Z_]+) at (\S+):(\d+):(\d+)$`)

// unleash has gremlins make all changes to a package, one after the other.
func unleash(bin, real, dir string) ([]mutant, error) {
	if _, err := find(dir); err != nil {
		return nil, err
	}
	notes := filepath.Join(bin, "notes")
	cmd := exec.Command(filepath.Join(bin, "gremlins"), append([]string{"unleash", "--workers=1", "--timeout-coefficient=1000"}, kinds...)...)
	cmd.Args = append(cmd.Args, "./"+dir)
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"MUTATION_GO="+real, "MUTATION_DIR="+dir, "MUTATION_NOTES="+notes)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var mutants []mutant
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fields := mutantLine.FindStringSubmatch(lines.Text())
		if fields == nil {
			fmt.Println(lines.Text())
			continue
		}
		m := mutant{dir: dir, status: fields[1], kind: fields[2], file: fields[3]}
		m.line, _ = strconv.Atoi(fields[4])
		m.column, _ = strconv.Atoi(fields[5])
		if m.code, err = marked(m); err != nil {
			return nil, err
		}
		by, _ := os.ReadFile(notes)
		os.Remove(notes)
		m.by = strings.TrimSpace(string(by))
		fmt.Printf("%s %s:%d %s %s (%s)\n", m.status, m.place(), m.line, m.kind, m.code, m.by)
		mutants = append(mutants, m)
	}
	return mutants, cmd.Wait()
}

// marked gives the line that was changed, with a mark before the operator.
func marked(m mutant) (string, error) {
	text, err := os.ReadFile(m.place())
	if err != nil {
		return "", err
	}
	line := strings.Split(string(text), "\n")[m.line-1]
	return strings.TrimSpace(line[:m.column-1] + "▸" + line[m.column-1:]), nil
}

// readList gives the rows of the list of survivors: file, kind, code, and the reason.
func readList(name string) (rows [][]string, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		row := regexp.MustCompile("^\\| `(.+?)` \\| ([A-Z_]+) \\| ``? ?(.+?) ?``? \\| (.+) \\|$").FindStringSubmatch(strings.TrimSpace(line))
		if row != nil {
			rows = append(rows, row[1:])
		}
	}
	return rows, nil
}

// report prints the counts of each file, and what the list of survivors does not have, or should not.
func report(all []mutant, listed [][]string) error {
	fmt.Printf("\n%-32s %7s %7s %7s %9s\n", "file", "killed", "hung", "lived", "no change")
	count := func(place string) {
		var killed, hung, lived, none int
		for _, m := range all {
			switch {
			case place != "" && m.place() != place:
			case m.status == "NOT VIABLE":
				none++
			case m.status != "KILLED":
				lived++
			case strings.HasSuffix(m.by, hangs):
				hung++
			default:
				killed++
			}
		}
		fmt.Printf("%-32s %7d %7d %7d %9d", place, killed, hung, lived, none)
		if place == "" {
			fmt.Printf("   %.1f %% noticed", 100*float64(killed+hung)/float64(max(1, killed+hung+lived)))
		}
		fmt.Println()
	}
	var places []string
	for _, m := range all {
		if !slices.Contains(places, m.place()) {
			places = append(places, m.place())
			count(m.place())
		}
	}
	count("")

	unlisted := 0
	for _, m := range all {
		is := slices.ContainsFunc(listed, func(row []string) bool {
			return row[0] == m.place() && row[1] == m.kind && strings.ReplaceAll(row[2], `\|`, "|") == m.code
		})
		switch lives := m.status != "KILLED" && m.status != "NOT VIABLE"; {
		case lives && !is:
			unlisted++
			fmt.Printf("not in the list:\n| `%s` | %s | `%s` | ? |\n", m.place(), m.kind, strings.ReplaceAll(m.code, "|", `\|`))
		case is && !lives:
			fmt.Printf("in the list, but noticed: %s:%d %s\n", m.place(), m.line, m.kind)
		}
	}
	if unlisted > 0 {
		return fmt.Errorf("%d changes that no test noticed are not in the list", unlisted)
	}
	return nil
}
