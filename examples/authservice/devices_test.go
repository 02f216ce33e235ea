package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClient(t *testing.T) {
	const webkit = " AppleWebKit/537.36 (KHTML, like Gecko) "
	const windows, mac = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
	const linux, android = "Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Linux; Android 10; K)"
	const iPhone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
	const iPad = "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
	const chromeBook = "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)"
	const chrome, phone = "Chrome/140.0.0.0 Safari/537.36", "Chrome/140.0.0.0 Mobile Safari/537.36"
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0":     "Firefox on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox on macOS",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":               "Firefox on Linux",
		"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":       "Firefox on Linux",
		"Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0":                 "Firefox on Android",
		iPhone + "FxiOS/140.0 Mobile/15E148 Safari/605.1.15":                                   "Firefox on iOS",
		iPad + "FxiOS/140.0 Mobile/15E148 Safari/605.1.15":                                     "Firefox on iOS",

		windows + webkit + chrome:                                  "Chrome on Windows", // Brave claims to be Chrome everywhere
		mac + webkit + chrome:                                      "Chrome on macOS",
		linux + webkit + chrome:                                    "Chrome on Linux",
		android + webkit + phone:                                   "Chrome on Android",
		android + webkit + chrome:                                  "Chrome on Android", // a tablet
		chromeBook + webkit + chrome:                               "Chrome on ChromeOS",
		iPhone + "CriOS/140.0.7339.101 Mobile/15E148 Safari/604.1": "Chrome on iOS",
		iPad + "CriOS/140.0.7339.101 Mobile/15E148 Safari/604.1":   "Chrome on iOS",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP4A.250205.002)" + webkit + phone:  "Chrome on Android",
		"Mozilla/5.0 (Linux; Android 14; SM-S928B Build/UP1A.231005.007)" + webkit + phone: "Chrome on Android",

		mac + " AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15": "Safari on macOS", // iPadOS, too
		iPhone + "Version/18.6 Mobile/15E148 Safari/604.1":                             "Safari on iOS",
		iPad + "Version/18.6 Mobile/15E148 Safari/604.1":                               "Safari on iOS",

		windows + webkit + chrome + " Edg/140.0.0.0":                            "Edge on Windows",
		mac + webkit + chrome + " Edg/140.0.0.0":                                "Edge on macOS",
		linux + webkit + chrome + " Edg/140.0.0.0":                              "Edge on Linux",
		android + webkit + phone + " EdgA/140.0.0.0":                            "Edge on Android",
		iPhone + "Version/18.0 EdgiOS/140.0.3485.54 Mobile/15E148 Safari/604.1": "Edge on iOS",

		windows + webkit + chrome + " OPR/122.0.0.0": "Opera on Windows",
		mac + webkit + chrome + " OPR/122.0.0.0":     "Opera on macOS",
		linux + webkit + chrome + " OPR/122.0.0.0":   "Opera on Linux",
		android + webkit + phone + " OPR/91.0.0.0":   "Opera on Android",

		android + webkit + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": "Samsung Internet on Android",
		"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S911B)" + webkit + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile " +
			"Safari/537.36": "Samsung Internet on Android",

		"curl/8.5.0":          "Script or bot",
		"Go-http-client/1.1":  "Script or bot",
		"python-requests/2.3": "Script or bot",
	} {
		require.Equal(t, want, client(&http.Request{Header: http.Header{"User-Agent": {agent}}}), agent)
	}
}

// TestClient_Hostile checks that a description has no text of the header.
func TestClient_Hostile(t *testing.T) {
	programs := []string{"Firefox", "Chrome", "Safari", "Edge", "Opera", "Samsung Internet", "Android Browser",
		"Script or bot", "Unknown browser"}
	systems := []string{"", " on Windows", " on macOS", " on Linux", " on Android", " on iOS", " on ChromeOS"}
	const evil = "Win a prize at https://evil.example/"
	for _, agent := range []string{
		"", " ", evil, evil + " Firefox/140.0", "Firefox/" + evil, "Mozilla/5.0 (" + evil + "; Linux) Firefox/1",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 " + evil + "/1 Firefox/140.0",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140 Safari/537.36 " + evil + "/2.0",
		"<script>alert(1)</script>", "Firefox on Windows\r\nBcc: a@example.org", "\x00\xff\xfe", "Mobile/", "Version/",
		strings.Repeat("(", 30_000), strings.Repeat("Android ", 4_000), strings.Repeat("Chrome/1 ", 4_000),
		strings.Repeat("é", 15_000),
	} {
		got := client(&http.Request{Header: http.Header{"User-Agent": {agent}}})
		require.True(t, slices.ContainsFunc(programs, func(program string) bool {
			rest, found := strings.CutPrefix(got, program)
			return found && slices.Contains(systems, rest)
		}), "%.80q is described as %q", agent, got)
	}
	require.Equal(t, "Unknown browser", client(&http.Request{}))
	require.Equal(t, "Unknown browser", client(&http.Request{Header: http.Header{"User-Agent": {evil}}}))
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
