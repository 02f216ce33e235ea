package testkit

import (
	"os"
	"os/exec"
	"testing"
)

// Missing ends the test because the machine lacks something: it skips the test, or fails it if
// FLOWHOOK_NO_SKIP is set.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("FLOWHOOK_NO_SKIP") != "" {
		t.Fatal(what + ", and nothing may be skipped")
	}
	t.Skip(what)
}

// Env returns an environment variable that the test needs.
func Env(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		Missing(t, name+" is not set")
	}
	return value
}

// Chromium returns the path of a browser.
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
