package flowhook_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// notOfOneFile are the rules that no file alone comes under; TestCheckOptions and TestReload_CookieScope have them.
var notOfOneFile = []string{"cookie-scope", "unused-secrets"}

func TestEveryRuleHasAFile(t *testing.T) {
	found := map[string]bool{}
	files, err := filepath.Glob("testdata/check/*.yml")
	require.NoError(t, err)
	for _, file := range files {
		for _, line := range wanted(t, file) {
			found[strings.Split(line, ": ")[2]] = true
		}
	}
	for _, rule := range notOfOneFile {
		assert.False(t, found[rule], rule)
		found[rule] = true
	}
	assert.Equal(t, flowtest.Rules(t), slices.Sorted(maps.Keys(found)))
}
