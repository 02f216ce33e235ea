package acceptance_test

import (
	"log"
	"os"
	"path/filepath"
	"testing"
)

// TestMain runs the tests in the module's root, because they read its documents, its sources and
// its testdata. The workers of a fuzz test start there.
func TestMain(m *testing.M) {
	for {
		if _, err := os.Stat("go.mod"); err == nil {
			break
		}
		if err := os.Chdir(".."); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}

// inRoot returns the absolute path of a file in the module's root. go test does not know that
// TestMain has changed the directory. By a relative path, it would miss that the file has changed,
// and repeat a cached result.
func inRoot(name string) string {
	path, err := filepath.Abs(name)
	if err != nil {
		log.Fatal(err)
	}
	return path
}
