// Package testneed is for tests that need what a machine may not have. It is the one place where a test is skipped for that:
// with FLOWHOOK_NO_SKIP in the environment, it fails instead.
package testneed

import (
	"os"
	"os/exec"
	"testing"
)

// Missing says what is not there, and ends the test.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("FLOWHOOK_NO_SKIP") != "" {
		t.Fatal(what + ", and nothing may be skipped")
	}
	t.Skip(what)
}

// Env gives a variable of the environment.
func Env(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		Missing(t, name+" is not set")
	}
	return value
}

// Chromium gives the path of a browser.
func Chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, "there is no Chromium in the PATH")
	return ""
}
