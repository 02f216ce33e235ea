package testkit

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Vectors reads a list of test vectors: on each line a Go string and a reason, none twice. Empty
// lines and lines that begin with # are comments.
func Vectors(t testing.TB, path string) (all []string) {
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
