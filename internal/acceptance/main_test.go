package acceptance_test

import (
	"fmt"
	"os"
	"testing"
)

// TestMain runs the tests in the module's root, because they read its documents, its sources and
// its testdata.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
