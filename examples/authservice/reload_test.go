package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withSecrets writes a copy of auth.yml with secrets.
func withSecrets(t *testing.T, secrets ...string) string {
	path := filepath.Join(t.TempDir(), "auth.yml")
	putSecrets(t, path, secrets...)
	return path
}

func putSecrets(t *testing.T, path string, secrets ...string) {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("secrets:\n  session:\n    - "+strings.Join(secrets,
		"\n    - ")+"\n\n"+string(data)), 0o600))
}

// TestReload_RotateSecrets checks that sessions go on while the old secret is listed after the new
// one.
func TestReload_RotateSecrets(t *testing.T) {
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
	before.open("/").at("/", "Welcome to Accounts")
	after.open("/").at("/", "Hello, Alice")
	require.Len(t, s.log.lines("level=INFO", "AUTH_CONFIG was reloaded"), 2)

	putSecrets(t, path, "hunter2")
	s.service.reload(t.Context())
	after.open("/").at("/", "Hello, Alice")
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	s.service.reload(t.Context())
	after.open("/").at("/", "Hello, Alice")
	require.Len(t, s.log.lines("level=ERROR", "AUTH_CONFIG was not reloaded"), 2)
	require.Len(t, s.log.lines("level=ERROR", "the file no longer has secrets"), 1)
	require.Empty(t, s.log.lines("hunter2"), "the log contains a secret")
}

// TestReload_SecretReferences checks that each reload reads referenced secrets again.
func TestReload_SecretReferences(t *testing.T) {
	const older, newer = "an-older-secret-0123456789abcdef", "a-newer-secret-0123456789abcdef0"
	path := withSecrets(t, "file:secret")
	secretFile := filepath.Join(filepath.Dir(path), "secret")
	require.NoError(t, os.WriteFile(secretFile, []byte(older+"\n"), 0o600))
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path, "SESSION_SECRETS", "")
	s.register(email, password)
	before := s.signedIn(email, password)

	t.Setenv("AUTHSERVICE_TEST_SECRET", newer)
	putSecrets(t, path, "${AUTHSERVICE_TEST_SECRET}", "file:secret")
	s.service.reload(t.Context())
	before.open("/").at("/", "Hello, Alice")
	after := s.signedIn(email, password)

	require.NoError(t, os.Remove(secretFile))
	s.service.reload(t.Context())
	require.Len(t, s.log.lines("level=ERROR", "AUTH_CONFIG was not reloaded"), 1)
	before.open("/").at("/", "Hello, Alice")
	require.NoError(t, os.WriteFile(secretFile, []byte("another-secret-0123456789abcdef0"), 0o600))
	s.service.reload(t.Context())
	before.open("/").at("/", "Welcome to Accounts")
	after.open("/").at("/", "Hello, Alice")
	require.Len(t, s.log.lines("level=INFO", "AUTH_CONFIG was reloaded"), 2)
	require.Empty(t, s.log.lines("another-secret"))
}

// TestReload_SecretsAdded checks that secrets added to the file are not silently ignored.
func TestReload_SecretsAdded(t *testing.T) {
	path := withConfig(t, "session:\n", "session:\n")
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path)
	putSecrets(t, path, "a-newer-secret-0123456789abcdef0")
	require.Regexp(t, `A reload would\s+reject it: 1 error</summary>\s*<ul class="texts">\s*<li>the file now has secrets`,
		s.hookPage(t))
	s.service.reload(t.Context())
	require.Len(t, s.log.lines("level=ERROR", "the file now has secrets"), 1)
	require.Regexp(t, `<dt>Last reload</dt>.*rejected at .*\s*<ul class="texts">\s*<li>the file now has secrets`, s.hookPage(t))
	require.Empty(t, s.log.lines("AUTH_CONFIG was reloaded"))
}

// TestReload turns maintenance on and off without a restart. A file with errors changes nothing,
// and all errors are logged.
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
		s.browser().open("/login").refused(http.StatusServiceUnavailable, "Down for maintenance")
		b.open("/").at("/", "Hello, Alice")
	}
	put(withConfig(t, maintenanceComment, maintenanceHook))
	maintenance()
	put(withConfig(t, "- hook: new_device # emails", "- hook: new_devices\n          - hook: auditt # emails"))
	maintenance()
	require.Len(t, s.log.lines("level=ERROR", "error in AUTH_CONFIG", `unknown hook \"new_devices\"`), 1)
	require.Len(t, s.log.lines("level=ERROR", "error in AUTH_CONFIG", `unknown hook \"auditt\"`), 1)
	require.Len(t, s.log.lines("level=ERROR", "AUTH_CONFIG was not reloaded", "errors=2"), 1)
	require.NoError(t, os.Remove(path))
	s.service.reload(t.Context())
	maintenance()
	require.Len(t, s.log.lines("level=ERROR", "AUTH_CONFIG was not reloaded", "errors=1"), 1)
	put("auth.yml")
	s.signedIn(email, password)
	b.open("/").at("/", "Hello, Alice")
}

// TestReload_NoHooks checks that a file without hooks, such as one that was truncated, changes nothing,
// and that a file without hooks that most services need is reported.
func TestReload_NoHooks(t *testing.T) {
	path := withConfig(t, "session:\n", "session:\n")
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path)
	require.Empty(t, s.log.lines("level=WARN", "AUTH_CONFIG"))
	hash := s.service.pipeline.Plan().Hash()
	for i, text := range []string{"", "selfservice: {}\n"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		s.service.reload(t.Context())
		require.Equal(t, hash, s.service.pipeline.Plan().Hash())
		require.Len(t, s.log.lines("level=ERROR", "auth.yml has no hooks"), i+1)
	}
	require.NoError(t, os.WriteFile(path, []byte(onlyAudit), 0o600))
	s.service.reload(t.Context())
	require.Len(t, s.log.lines("level=WARN", "login has no rate_limit at before"), 1)
	require.Len(t, s.log.lines("level=WARN", "recovery has no rate_limit at before"), 1)
	require.Len(t, s.log.lines("level=WARN", "registration has no verify at after"), 1)
	require.Len(t, s.log.lines("level=INFO", "AUTH_CONFIG was reloaded"), 1)
}

// onlyAudit is an auth.yml that lacks what most services need.
const onlyAudit = "selfservice: {flows: {logout: {after: {hooks: [{hook: audit}]}}}}\n"
