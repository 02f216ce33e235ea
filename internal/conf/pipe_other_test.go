//go:build !unix

package conf

import "testing"

func makePipe(t *testing.T, _ string) {
	t.Helper()
	t.Skip("this system has no named pipes in the file system")
}
