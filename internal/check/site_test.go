package check

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSite(t *testing.T) {
	for host, want := range map[string]string{
		"example.com":         "example.com",
		"www.example.com":     "example.com",
		"a.b.c.example.com":   "example.com",
		"Auth.Example.COM.":   "example.com",
		"localhost":           "localhost",
		"app.localhost":       "app.localhost",
		"www.ory.sh":          "ory.sh", // a short name before a country is not always a registry
		"ory.sh":              "ory.sh",
		"auth.bbc.co.uk":      "bbc.co.uk",
		"bbc.co.uk":           "bbc.co.uk",
		"www.example.com.au":  "example.com.au",
		"co.uk":               "co.uk",
		"shop.example.or.at":  "example.or.at",
		"com.example.net":     "example.net",
		"127.0.0.1":           "127.0.0.1",
		"10.1.2.3":            "10.1.2.3",
		"::1":                 "::1",
		"2001:db8::1":         "2001:db8::1",
		"*.apps.example.com":  "example.com",
		"":                    "",
		"xn--bcher-kva.co.jp": "xn--bcher-kva.co.jp",
	} {
		assert.Equal(t, want, site(host), host)
	}
}

func TestSafe(t *testing.T) {
	for text, want := range map[string]bool{
		"https://example.com/":       true,
		"HTTPS://example.com/":       true,
		"/a/path":                    true, // stays on the site, whatever its scheme
		"exp://localhost:8081/":      true, // not http
		"http://localhost:4455/":     true,
		"http://LOCALHOST/":          true,
		"http://app.localhost./":     true,
		"http://127.0.0.1:4455/":     true,
		"http://127.8.9.1/":          true,
		"http://[::1]:3000/":         true,
		"http://example.com/":        false,
		"HTTP://example.com/":        false,
		"http://localhost.example/":  false,
		"http://notlocalhost/":       false,
		"http://10.0.0.1/":           false,
		"http://[2001:db8::1]/":      false,
		"http://*.example.com/":      false,
		"http://127.0.0.1.nip.test/": false,
	} {
		u, err := url.Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, safe(u), text)
	}
}
