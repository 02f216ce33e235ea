package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClient(t *testing.T) {
	for agent, want := range map[string]string{
		"": "Unknown browser",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 " +
			"Firefox/140.0": "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 " +
			"Safari/537.36 Edg/140.0": "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile " +
			"Safari/537.36": "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
			"Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iOS",
		"curl/8.5.0":                            "curl",
		"Win a prize at https://evil.example/ ": "Unknown browser",
	} {
		require.Equal(t, want, client(&http.Request{Header: http.Header{"User-Agent": {agent}}}))
	}
}

// TestNewDevice checks that only an account with a known device gets an email about a new one.
func TestNewDevice(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.signedIn(email, password)
		b.press("Sign out").open("/login").press("Sign in", "email", email, "password", password) // the same browser
		s.signedIn(email, password)
		s.mail(email, deviceSubject, 0) // one, for the second browser
		require.Equal(t, 2, s.count("devices"))

		const eve = "eve@example.org" // with an unconfirmed address
		s.browser().open("/register").press("Register", "name", "Alice", "email", eve, "password", password)
		s.signedIn(eve, password)
		s.signedIn(eve, password)
		require.Equal(t, 4, s.count("devices"))
		require.Len(t, s.log.lines("msg=hook", "name=new_device", "outcome=ok"), 5)
		require.Equal(t, 3, s.count("river_job"), "two to confirm addresses, one about a device")
	})
}
