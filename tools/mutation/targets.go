package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/flowhook/flowhook"

// A target is a package whose code is changed, and the tests that must notice, the quickest first.
type target struct {
	dir   string
	only  string // one file of it; "" means all files
	steps []step
}

// rootSteps are the steps for code that the tests of the root package and its acceptance tests cover.
var rootSteps = []step{
	{name: "the root package's tests", args: []string{"-timeout=1m", "."}},
	{name: "acceptance tests", args: []string{"-timeout=3m", "./internal/acceptance"}},
}

// targets are all packages that are changed. The SQL stores need PostgreSQL and MariaDB: without them,
// their tests fail before the first change.
var targets = []target{
	{dir: "store/memstore", steps: []step{{name: "its own tests", args: []string{"-timeout=30s", "./store/memstore"}}}},
	{dir: "store/internal/relational", steps: slices.Concat([]step{
		{name: "its own tests", args: []string{"-timeout=30s", "./store/internal/relational"}}, pgxStep},
		sqlSteps, []step{pgxCalls})},
	{dir: "store/sqlstore", steps: sqlSteps},
	{dir: "store/pgxstore", steps: []step{pgxStep, pgxCalls}},
	{dir: ".", steps: rootSteps},
	{dir: "internal/letter", steps: rootSteps},
	{dir: "internal/stage", steps: rootSteps},
	{dir: "internal/token", steps: rootSteps},
}

var pgxStep = step{
	name: "pgxstore's own tests", module: "store/pgxstore",
	env:  []string{"FLOWHOOK_NO_SKIP=1"},
	args: []string{"-timeout=2m", "."},
}

// pgxCalls are complete calls through pgxstore, with faults, stalls, and several processes.
var pgxCalls = step{
	name: "pgxstore's calls", module: "internal/sqltest",
	env:  []string{"FLOWHOOK_NO_SKIP=1"},
	args: []string{"-timeout=4m", "-run=/pgxstore", "."},
}

var sqlSteps = []step{
	{name: "sqlstore's own tests", args: []string{"-timeout=30s", "./store/sqlstore"}},
	{
		name: "sqlstore's conformance", module: "internal/sqltest",
		env:  []string{"FLOWHOOK_NO_SKIP=1"},
		args: []string{"-timeout=2m", "-run=TestConformance", "."},
	},
	{
		name: "SQLite", module: "internal/sqltest",
		env:  []string{"FLOWHOOK_POSTGRES=", "FLOWHOOK_MARIADB=", "FLOWHOOK_NO_SKIP="},
		args: []string{"-timeout=2m", "-skip=TestConformance|TestFaults", "."},
	},
	{
		name: "PostgreSQL and MariaDB", module: "internal/sqltest",
		env: []string{"FLOWHOOK_NO_SKIP=1"},
		args: []string{
			"-timeout=4m",
			"-skip=TestConformance|TestFaults|TestIndexes|TestMigrations|TestProcesses|TestStall|/SQLite|/pgxstore",
			".",
		},
	},
	{
		name: "processes", module: "internal/sqltest",
		env:  []string{"FLOWHOOK_NO_SKIP=1"},
		args: []string{"-timeout=3m", "-run=TestProcesses", "-skip=/SQLite|/pgxstore", "."},
	},
	{
		name: "faults", module: "internal/sqltest",
		env:  []string{"FLOWHOOK_NO_SKIP=1"},
		args: []string{"-timeout=4m", "-run=TestFaults", "."},
	},
	{
		name: "stalls", module: "internal/sqltest",
		env:  []string{"FLOWHOOK_NO_SKIP=1"},
		args: []string{"-timeout=4m", "-run=TestStall", "."},
	},
}

// find returns the target of a place, which is the folder of a package or one file in it.
func find(place string) (target, error) {
	dir, file := place, ""
	if strings.HasSuffix(place, ".go") {
		dir, file = path.Split(place)
	}
	for _, t := range targets {
		if t.dir == path.Clean(dir) {
			t.only = file
			return t, nil
		}
	}
	return target{}, fmt.Errorf("%q is not in a package whose code is changed", place)
}

// isModule reports whether the target is a module of its own, not a package of the library's. root is
// the folder of the repository.
func (t target) isModule(root string) bool {
	_, err := os.Stat(filepath.Join(root, t.dir, "go.mod"))
	return t.dir != "." && err == nil
}

// files returns the names of the target's files. root is the folder of the repository.
func (t target) files(root string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(root, t.dir))
	for _, e := range entries {
		isCode := strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go")
		if isCode && (t.only == "" || t.only == e.Name()) {
			names = append(names, e.Name())
		}
	}
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s has no file %s", t.dir, t.only)
	}
	return names, err
}
