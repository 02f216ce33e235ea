//go:build !unix

package conf

import (
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
)

func makePipe(t *testing.T, _ string) {
	t.Helper()
	testkit.Missing(t, "this system has no named pipes in the file system")
}
