// Package testvectors reads the lists of URLs in testdata, which several packages are tested by.
package testvectors

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Read reads a file that has a Go string and a reason a line, none twice. Empty lines and those that begin with # are comments.
func Read(t testing.TB, path string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%s: no Go string: %s", path, line)
		}
		vector, err := strconv.Unquote(quoted)
		switch {
		case err != nil:
			t.Fatalf("%s: %s: %v", path, line, err)
		case strings.TrimSpace(line[len(quoted):]) == "":
			t.Fatalf("%s: no reason: %s", path, line)
		case slices.Contains(all, vector):
			t.Fatalf("%s: twice: %s", path, line)
		}
		all = append(all, vector)
	}
	if len(all) == 0 {
		t.Fatalf("%s: nothing in it", path)
	}
	return all
}
