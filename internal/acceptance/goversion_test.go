package acceptance_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The documentation names the Go versions that the go.mod files require, and no others.
func TestGoVersion(t *testing.T) {
	find := func(file, pattern string) (found []string) {
		text, err := os.ReadFile(inRoot(file))
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found = append(found, match[1])
		}
		return found
	}
	// make oldest needs all three numbers for the name of a toolchain.
	const directive = `(?m)^go (\d+\.\d+\.\d+)$`
	library, service := find("go.mod", directive), find("examples/authservice/go.mod", directive)
	require.Len(t, library, 1)
	require.Len(t, service, 1)
	const orLater = `Go (\d[\d.]*) or later`
	require.Equal(t, []string{library[0], service[0]}, find("README.md", orLater))
	require.Equal(t, library, find("SECURITY.md", orLater))
	require.NotEmpty(t, find(".ci/run", `(?m)^(make oldest)$`), "CI does not test the lowest version")
}
