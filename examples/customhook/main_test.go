package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain runs the program if a test started this binary as the program.
func TestMain(m *testing.M) {
	if os.Getenv("CUSTOMHOOK_RUN_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestMain_Command(t *testing.T) {
	text, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "timeout: 2s", "timeout: 500ms", 1)),
		0o600))
	cmd := exec.Command(os.Args[0], "-config", file)
	cmd.Env = append(os.Environ(), "CUSTOMHOOK_RUN_MAIN=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	for _, line := range []string{
		"alice@example.org registers: 200 OK, Welcome!",
		"bob@elsewhere.example registers: 200 OK, Welcome!",
		"eve@disposable.example registers: 403 Forbidden, Please register with a permanent email address.",
		"sam@slow.example registers: 503 Service Unavailable, We can't register you right now. Please try again.",
	} {
		require.Contains(t, string(out), line+"\n")
	}
	require.Contains(t, string(out), "block_disposable, at most 500ms")
}
