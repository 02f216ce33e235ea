package acceptance_test

import (
	"log"
	"os"
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
