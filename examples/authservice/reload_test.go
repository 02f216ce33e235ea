package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withSecrets writes an auth.yml with secrets of its own.
func withSecrets(t *testing.T, secrets ...string) string {
	path := filepath.Join(t.TempDir(), "auth.yml")
	putSecrets(t, path, secrets...)
	return path
}

func putSecrets(t *testing.T, path string, secrets ...string) {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("secrets:\n  session:\n    - "+strings.Join(secrets, "\n    - ")+"\n\n"+string(data)), 0o600))
}

// TestSecretsChange: who is signed in stays so while the old secret is there, behind the new one.
func TestSecretsChange(t *testing.T) {
	const older, newer = "an-older-secret-0123456789abcdef", "a-newer-secret-0123456789abcdef0"
	path := withSecrets(t, older)
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path, "SESSION_SECRETS", "")
	require.NoFileExists(t, s.service.config.Database+".secret")
	s.register(email, password)
	before := s.signedIn(email, password)

	putSecrets(t, path, newer, older)
	s.service.reload(t.Context())
	before.open("/").at("/", "Hello, Alice")
	after := s.signedIn(email, password)

	putSecrets(t, path, newer)
	s.service.reload(t.Context())
	before.open("/").at("/", "Welcome")
	after.open("/").at("/", "Hello, Alice")
	require.Len(t, s.log.lines("level=INFO", "AUTH_CONFIG was read again, and is taken"), 2)

	putSecrets(t, path, "hunter2")
	s.service.reload(t.Context())
	after.open("/").at("/", "Hello, Alice")
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	s.service.reload(t.Context())
	after.open("/").at("/", "Hello, Alice")
	require.Len(t, s.log.lines("level=ERROR", "nothing has changed"), 2)
	require.Len(t, s.log.lines("level=ERROR", "it has no secrets any more"), 1)
	require.Empty(t, s.log.lines("hunter2"), "no secret is in the log")
}

// TestSecretsByReference: the file says where the secrets are, and each reload looks there again.
func TestSecretsByReference(t *testing.T) {
	const older, newer = "an-older-secret-0123456789abcdef", "a-newer-secret-0123456789abcdef0"
	path := withSecrets(t, "file:secret") // beside the file
	beside := filepath.Join(filepath.Dir(path), "secret")
	require.NoError(t, os.WriteFile(beside, []byte(older+"\n"), 0o600))
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path, "SESSION_SECRETS", "")
	s.register(email, password)
	before := s.signedIn(email, password)

	t.Setenv("AUTHSERVICE_TEST_SECRET", newer)
	putSecrets(t, path, "${AUTHSERVICE_TEST_SECRET}", "file:secret")
	s.service.reload(t.Context())
	before.open("/").at("/", "Hello, Alice")
	after := s.signedIn(email, password)

	require.NoError(t, os.Remove(beside))
	s.service.reload(t.Context())
	require.Len(t, s.log.lines("level=ERROR", "nothing has changed"), 1)
	before.open("/").at("/", "Hello, Alice")
	require.NoError(t, os.WriteFile(beside, []byte("another-secret-0123456789abcdef0"), 0o600))
	s.service.reload(t.Context())
	before.open("/").at("/", "Welcome")
	after.open("/").at("/", "Hello, Alice")
	require.Len(t, s.log.lines("level=INFO", "AUTH_CONFIG was read again, and is taken"), 2)
	require.Empty(t, s.log.lines("another-secret"))
}

// TestSecretsCome: a file that has secrets, where those of the environment are in use, does not quietly mean nothing.
func TestSecretsCome(t *testing.T) {
	path := withConfig(t, "session:\n", "session:\n")
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path)
	putSecrets(t, path, "a-newer-secret-0123456789abcdef0")
	s.service.reload(t.Context())
	require.Len(t, s.log.lines("level=ERROR", "it has secrets now, and SESSION_SECRETS"), 1)
	require.Empty(t, s.log.lines("AUTH_CONFIG was read again, and is taken"))
}

// TestReload: a maintenance begins and ends without a restart; what is wrong changes nothing, and all of it is told.
func TestReload(t *testing.T) {
	path := withConfig(t, "session:\n", "session:\n")
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path)
	s.register(email, password)
	b := s.signedIn(email, password)
	put := func(from string) {
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		s.service.reload(t.Context())
	}
	maintenance := func() {
		t.Helper()
		s.browser().open("/login").refused(http.StatusServiceUnavailable, "We are working on it")
		b.open("/").at("/", "Hello, Alice")
	}
	put(withConfig(t, ready, taken))
	maintenance()
	put(withConfig(t, "- hook: new_device # a mail", "- hook: new_devices\n          - hook: auditt # a mail"))
	maintenance()
	require.Len(t, s.log.lines("level=ERROR", "AUTH_CONFIG is not taken", `unknown hook \"new_devices\"`), 1)
	require.Len(t, s.log.lines("level=ERROR", "AUTH_CONFIG is not taken", `unknown hook \"auditt\"`), 1)
	require.Len(t, s.log.lines("level=ERROR", "nothing has changed", "errors=2"), 1)
	require.NoError(t, os.Remove(path))
	s.service.reload(t.Context())
	maintenance()
	require.Len(t, s.log.lines("level=ERROR", "nothing has changed", "errors=1"), 1)
	put("auth.yml")
	s.signedIn(email, password)
	b.open("/").at("/", "Hello, Alice")
}
