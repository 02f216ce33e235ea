// Command mutation changes the code of the library and of its stores, one operator or one statement
// at a time, and runs the tests on each change. It fails if no test notices a change that
// survivors.md does not list.
//
//	go -C tools run ./mutation [flags] [store/memstore] [internal/stage] [session.go] ...
//
// # Operators
//
// github.com/go-gremlins/gremlins makes the changes in a copy of the repository. It finds this
// program where it looks for the go command. That is because the real one is not strict enough:
//
//   - A change that does not compile does not count. gremlins would count it as noticed.
//   - Findings of go vet do not count.
//   - Every operator is changed. Coverage does not know all code that runs, such as the conditions
//     of a switch.
//   - The tests of other modules run, too.
//
// gremlins changes one module, so the operators of a target with a module of its own, such as
// store/pgxstore, are not changed. Use -statements, which forces their conditions.
//
// # Statements
//
// With -statements, this program itself deletes statements, forces conditions, and returns nil
// instead of errors; see statementChanges. gremlins changes operators only. go-mutesting deletes
// statements, but not those with go or defer, and does none of the other changes.
//
//   - -sample is the number of changes to test, chosen at random. By default, all are tested.
//   - -seed chooses another sample. The default is 1.
//   - -workers is the number of changes to test at the same time. Each worker has a copy of the
//     repository, but not databases of its own: the tests create their databases. The default is 1.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if filepath.Base(os.Args[0]) == "go" {
		os.Exit(goCommand(os.Args[1:]))
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run() error {
	statements := flag.Bool("statements", false, "change statements instead of operators")
	sample := flag.Int("sample", 0, "test `n` changes, chosen at random; 0 means all")
	seed := flag.Uint64("seed", 1, "choose the sample by this `number`")
	workers := flag.Int("workers", 1, "test `n` changes at the same time")
	flag.Parse()
	switch {
	case !*statements && flag.NFlag() > 0:
		return errors.New("-sample, -seed and -workers need -statements")
	case *sample < 0 || *workers < 1:
		return errors.New("-sample and -workers must be positive")
	}
	if err := enterRoot(); err != nil {
		return err
	}
	places := flag.Args()
	if len(places) == 0 {
		for _, t := range targets {
			if *statements || !t.isModule(".") {
				places = append(places, t.dir)
			}
		}
	}
	change := changeOperators
	if *statements {
		change = func(places []string) ([]mutant, error) { return testStatements(places, *sample, *seed, *workers) }
	}
	mutants, err := change(places)
	if err != nil {
		return err
	}
	return report(mutants)
}

// changeOperators lets gremlins change the operators of the places, one at a time.
func changeOperators(places []string) (all []mutant, err error) {
	bin, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(bin)
	env, err := environment(bin)
	if err != nil {
		return nil, err
	}
	for _, place := range places {
		t, err := find(place)
		if err != nil {
			return nil, err
		}
		if t.isModule(".") {
			return nil, fmt.Errorf("%s is a module of its own, whose operators gremlins does not change; use -statements", t.dir)
		}
		mutants, err := unleash(bin, append(env, "MUTATION_PLACE="+place), t.dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if len(mutants) == 0 {
			return nil, fmt.Errorf("%s: gremlins has changed nothing", place)
		}
		all = append(all, mutants...)
	}
	return all, nil
}

// enterRoot changes to the root of the repository.
func enterRoot() error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("find the root of the repository: %w", err)
	}
	return os.Chdir(strings.TrimSpace(string(root)))
}

// environment installs gremlins in bin, and links this program there under the name go.
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
