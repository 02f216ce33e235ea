package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func TestFind(t *testing.T) {
	for _, row := range []struct{ place, dir, has string }{
		{".", ".", "pipeline.go"},
		{"session.go", ".", "session.go"},
		{"store/sqlstore", "store/sqlstore", "sqlstore.go"},
		{"internal/stage/stage.go", "internal/stage", "stage.go"},
	} {
		found, err := find(row.place)
		if err != nil || found.dir != row.dir {
			t.Errorf("find(%q) = %q, %v; want %q", row.place, found.dir, err, row.dir)
		}
		files, err := found.files(root)
		if err != nil || !slices.Contains(files, row.has) {
			t.Errorf("files of %q = %q, %v; want %s among them", row.place, files, err, row.has)
		}
	}
	if _, err := find("examples/minimal/main.go"); err == nil {
		t.Error("find accepts a file that no target has")
	}
}

func TestIsModule(t *testing.T) {
	for place, want := range map[string]bool{".": false, "store/sqlstore": false, "store/pgxstore": true} {
		found, err := find(place)
		if err != nil || found.isModule(root) != want {
			t.Errorf("isModule of %q is not %v (%v)", place, want, err)
		}
	}
}

// A pattern with an old name would silently run nothing, or skip nothing.
func TestSteps_NamedTestsExist(t *testing.T) {
	for _, target := range targets {
		for _, s := range target.steps {
			tests := testNames(t, filepath.Join(root, s.module, s.args[len(s.args)-1]))
			for _, name := range named(s.args) {
				if !slices.ContainsFunc(tests, func(test string) bool { return strings.HasPrefix(test, name) }) {
					t.Errorf("%s, %s: there is no test %s", target.dir, s.name, name)
				}
			}
		}
	}
}

// A change may make a test wait forever.
func TestSteps_HaveTimeLimit(t *testing.T) {
	for _, target := range targets {
		for _, s := range target.steps {
			if !slices.ContainsFunc(s.args, func(arg string) bool { return strings.HasPrefix(arg, "-timeout=") }) {
				t.Errorf("%s, %s: there is no -timeout", target.dir, s.name)
			}
		}
	}
}

// named returns the names of tests in the patterns of -run and -skip.
func named(args []string) (names []string) {
	for _, arg := range args {
		flag, pattern, _ := strings.Cut(arg, "=")
		if flag != "-run" && flag != "-skip" {
			continue
		}
		for name := range strings.SplitSeq(pattern, "|") {
			if !strings.HasPrefix(name, "/") { // a subtest
				names = append(names, name)
			}
		}
	}
	return names
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

func testNames(t *testing.T, dir string) (names []string) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || files == nil {
		t.Fatalf("no test files in %s: %v", dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range testFunc.FindAllStringSubmatch(string(text), -1) {
			names = append(names, match[1])
		}
	}
	return names
}
