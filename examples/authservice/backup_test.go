package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBackup makes a backup with each of the README's commands while the service runs, and signs in
// with it. A copy of the file alone lacks the latest user.
func TestBackup(t *testing.T) {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		missing(t, "sqlite3")
	}
	readme := readFile(t, "README.md")
	setup := regexp.MustCompile(`(?m)^umask 077 .*\nbackup=.*\n`).FindString(readme)
	require.NotEmpty(t, setup)
	commands := regexp.MustCompile(`(?m)^sqlite3 .*$`).FindAllString(readme, -1)
	require.Len(t, commands, 2)
	for _, command := range commands {
		dir := t.TempDir()
		s := newSite(t, "sqlite:"+filepath.Join(dir, "authservice.db"))
		s.register(email, password)
		run := exec.Command("sh", "-c", setup+command)
		run.Dir = dir
		out, err := run.CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
		made, err := filepath.Glob(filepath.Join(dir, "authservice-*.db"))
		require.NoError(t, err)
		require.Len(t, made, 1)
		mode, err := os.Stat(made[0])
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), mode.Mode())
		copied := newSite(t, "sqlite:"+made[0])
		copied.signedIn(email, password)

		data, err := os.ReadFile(filepath.Join(dir, "authservice.db"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "careless.db"), data, 0o600))
		careless := newSite(t, "sqlite:"+filepath.Join(dir, "careless.db"))
		require.Equal(t, 0, careless.count("users"), "the README's warning is not true anymore")
	}
}
