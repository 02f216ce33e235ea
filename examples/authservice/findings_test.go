package main

import (
	"path/filepath"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// TestConfig_NoWarnings checks that auth.yml, with a generated secret, has no warnings.
func TestConfig_NoWarnings(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"), "SESSION_SECRETS", "")
	require.NotEmpty(t, s.service.pipeline.Plan().Findings())
	for _, f := range s.service.pipeline.Plan().Findings() {
		require.Equal(t, flowhook.SeverityNote, f.Severity, "%s", f)
	}
}
