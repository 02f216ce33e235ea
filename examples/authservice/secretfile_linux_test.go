package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// asNobody runs fn as a user who is not root and owns nothing.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root, who can become another user,")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	require.NoError(t, syscall.Setfsuid(65534))
	defer syscall.Setfsuid(0)
	fn()
}

// readable returns a new directory that every user can read.
func readable(t *testing.T) string {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// TestWritable checks that a database that cannot be written is found, and that nothing changes.
func TestWritable(t *testing.T) {
	dir := readable(t)
	file := filepath.Join(dir, "db")
	require.NoError(t, writable(file))
	require.NoFileExists(t, file)
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o644))
	require.NoError(t, writable(file))
	asNobody(t, func() { require.ErrorContains(t, writable(file), "no file can be created in the directory "+dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	asNobody(t, func() { require.ErrorContains(t, writable(file), "open "+file+": permission denied") })
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, "x", readFile(t, file))
}

// TestFileSecret checks that the secret is made once, that a file that is empty or cannot be read is
// not replaced, and that a directory that cannot be written is left without a part of the file.
func TestFileSecret(t *testing.T) {
	dir := readable(t)
	path := filepath.Join(dir, "db.secret")
	secret, created, err := fileSecret(path)
	require.NoError(t, err)
	require.True(t, created)
	again, created, err := fileSecret(path)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, secret, again)
	asNobody(t, func() {
		_, _, err := fileSecret(path)
		require.ErrorIs(t, err, fs.ErrPermission)
		_, _, err = fileSecret(path + ".other")
		require.ErrorContains(t, err, "writing the session secret")
	})
	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, _, err = fileSecret(path)
	require.ErrorContains(t, err, path+" is empty; restore it")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.MkdirAll(filepath.Join(path, "full"), 0o700)) // Rename fails
	require.Error(t, writeNew(path, "x"))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// TestFileSecret_Lost checks the warning if the secret is new but users are signed in.
func TestFileSecret_Lost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db")
	for _, warns := range []int{0, 0, 1} {
		s := newSite(t, "sqlite:"+file, "SESSION_SECRETS", "")
		require.Len(t, s.log.lines("level=WARN", "the file with the session secret is new", file+".secret"), warns)
		if s.count("users") == 0 {
			s.register(email, password)
			s.signedIn(email, password)
			continue
		}
		require.NoError(t, os.Remove(file+".secret"))
	}
}
