// Command mutation changes the code of the library and of its stores, one operator at a time, and
// runs the tests on each change. It fails if no test notices a change that survivors.md does not
// list.
//
//	go -C tools run ./mutation [store/memstore] [internal/stage] [session.go] ...
//
// github.com/go-gremlins/gremlins makes the changes in a copy of the repository. It finds this
// program where it looks for the go command. That is because the real one is not strict enough:
//
//   - A change that does not compile does not count. gremlins would count it as noticed.
//   - Findings of go vet do not count.
//   - Every operator is changed. Coverage does not know all code that runs, such as the conditions
//     of a switch.
//   - The tests of other modules run, too.
package main

import (
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
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run(places []string) error {
	if err := enterRoot(); err != nil {
		return err
	}
	if len(places) == 0 {
		for _, t := range targets {
			places = append(places, t.dir)
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
		t, err := find(place)
		if err != nil {
			return err
		}
		mutants, err := unleash(bin, append(env, "MUTATION_PLACE="+place), t.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		all = append(all, mutants...)
	}
	return report(all)
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
