package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConfig_NoFindings checks that auth.yml, with a generated secret, has no findings.
func TestConfig_NoFindings(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"), "SESSION_SECRETS", "")
	require.Empty(t, s.service.pipeline.Plan().Findings())
}
