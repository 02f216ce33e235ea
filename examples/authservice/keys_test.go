package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMailSecrets checks that the session secrets encrypt queued email, if the service has them.
func TestMailSecrets(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		db := newSite(t, database).service.db
		session := []string{"first", "second"}
		both, err := db.mailSecrets(t.Context(), session[:2:2])
		require.NoError(t, err)
		require.Len(t, both, 3)
		require.Equal(t, session, both[:2])
		alone, err := db.mailSecrets(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, both[2:], alone, "all copies have the same key")
	})
}
