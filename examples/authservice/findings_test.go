package main

import (
	"path/filepath"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// The service as it is shipped, with the secret that it makes for itself, has nothing in it that would surprise somebody.
func TestTheShippedConfigurationHasNoWarnings(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"), "SESSION_SECRETS", "")
	require.NotEmpty(t, s.service.pipeline.Plan().Findings())
	for _, f := range s.service.pipeline.Plan().Findings() {
		require.Equal(t, flowhook.SeverityNote, f.Severity, "%s", f)
	}
}
