package flowhook_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/check"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rules returns the names of all rules.
func rules(*testing.T) []string { return check.Rules }

// notOfOneFile are the rules that find nothing in a file alone. TestCheckOptions and
// TestReload_CookieScope test them.
var notOfOneFile = []string{"cookie-scope", "unused-secrets"}

func TestRules_HaveTestFiles(t *testing.T) {
	for _, rule := range rules(t) {
		files, err := filepath.Glob("testdata/check/" + rule + "*.yml")
		require.NoError(t, err)
		found := slices.ContainsFunc(files, func(file string) bool {
			return slices.ContainsFunc(wanted(t, file), func(finding string) bool {
				return strings.Contains(finding, ": "+rule+": ")
			})
		})
		assert.Equal(t, !slices.Contains(notOfOneFile, rule), found, "a file testdata/check/%s*.yml with a finding", rule)
	}
}
