package browser_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// configured writes a copy of auth.yml with replacements of a pattern and returns its path.
func (s *service) configured(t *testing.T, pattern, by string) string {
	t.Helper()
	data, err := os.ReadFile(folder + "/auth.yml")
	require.NoError(t, err)
	find := regexp.MustCompile(pattern)
	require.Regexp(t, find, string(data))
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, find.ReplaceAll(data, []byte(by)), 0o600))
	return path
}

// database opens the database of the service.
func (s *service) database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.directory, "authservice.db")+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// restart restarts the service with pairs in its environment.
func (s *service) restart(pairs ...string) {
	s.t.Helper()
	s.stop()
	s.start(pairs...)
}
