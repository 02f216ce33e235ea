package target

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func listOf(t testing.TB, entries ...string) *List {
	var l List
	for _, entry := range entries {
		require.NoError(t, l.Add(entry), entry)
	}
	return &l
}

// entries is the list for which the vectors in testdata/return are written.
var entries = []string{"https://example.org/app", "https://*.example.net", "http://127.0.0.1:4455", "/here"}

func TestList_Allows_NoEntries(t *testing.T) {
	for _, to := range append(vectors(t, "return/accepted.txt"), "", "/", "https://") {
		assert.False(t, new(List).Allows(to), "%q", to)
	}
}

func TestList_Allows_Vectors(t *testing.T) {
	l := listOf(t, entries...)
	for _, to := range vectors(t, "return/accepted.txt") {
		assert.True(t, l.Allows(to), "%q", to)
	}
	for _, to := range append(vectors(t, "return/refused.txt"), vectors(t, "redirect/refused.txt")...) {
		assert.False(t, l.Allows(to), "%q", to)
	}
}

func TestList_Allows(t *testing.T) {
	for _, test := range []struct{ name, entry, allowed, refused string }{
		{"no path", "https://a.example",
			"https://a.example https://a.example/ https://a.example/b?c#d https://a.example//",
			"/ http://a.example https://b.example"},
		{"root", "https://a.example/",
			"https://a.example https://a.example?x https://a.example/b",
			"https://a.example:80/"},
		{"trailing slash", "https://a.example/b/",
			"https://a.example/b https://a.example/b/ https://a.example/b/c",
			"https://a.example/ https://a.example/bc"},
		{"two segments", "https://a.example/b/c",
			"https://a.example/b/c https://a.example/b/c/d",
			"https://a.example/b https://a.example/b/d https://a.example/c/b"},
		{"empty segment", "https://a.example//",
			"https://a.example// https://a.example//b",
			"https://a.example/ https://a.example/b https://a.example"},
		{"empty segment inside", "/b//c", "/b//c /b//c/d", "/b/c /b /b/ /b//"},
		{"default port", "https://a.example:443",
			"https://a.example https://a.example:443",
			"https://a.example:80 http://a.example:443"},
		{"other port", "http://a.example:8080/",
			"http://a.example:8080",
			"http://a.example http://a.example:80 https://a.example:8080"},
		{"port of the other scheme", "http://a.example:443/",
			"http://a.example:443",
			"https://a.example https://a.example:443"},
		{"upper case in the host", "https://A.Example/B",
			"https://a.example/B https://A.EXAMPLE/B",
			"https://a.example/b"},
		{"trailing dot", "https://a.example.", "https://a.example./", "https://a.example/"},
		{"IPv6", "http://[2001:DB8::1]", "http://[2001:db8::1]/x http://[2001:db8::1]:80", "http://[2001:db8::2]"},
		{"escape", "/caf%C3%A9", "/caf%C3%A9 /caf%C3%A9/x", "/caf%c3%a9"},
		{"subdomains", "https://*.a.example",
			"https://b.a.example https://c.b.a.example/d",
			"https://a.example https://ba.example https://b.a.example."},
		{"subdomains with port and path", "http://*.a.example:8080/b",
			"http://c.a.example:8080/b/d",
			"http://c.a.example/b http://c.a.example:8080/ http://a.example:8080/b"},
		{"subdomains with trailing dot", "https://*.a.example.",
			"https://b.a.example.",
			"https://b.a.example https://a.example."},
		{"path", "/b", "/b /b/ /b/c?d#e", "/ /bc /c/b https://a.example/b"},
		{"root path", "/", "/ /b /b//c /?x", "https://a.example/ //a.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := listOf(t, test.entry)
			for to := range strings.FieldsSeq(test.allowed) {
				assert.True(t, l.Allows(to), to)
			}
			for to := range strings.FieldsSeq(test.refused) {
				assert.False(t, l.Allows(to), to)
			}
		})
	}
}

func TestList_Allows_SeveralEntries(t *testing.T) {
	l := listOf(t, "/a", "/b", "/c")
	for to, want := range map[string]bool{"/a": true, "/b": true, "/c": true, "/d": false} {
		assert.Equal(t, want, l.Allows(to), to)
	}
}

func TestList_Add_Vectors(t *testing.T) {
	for _, entry := range vectors(t, "return/entries_accepted.txt") {
		assert.NoError(t, new(List).Add(entry), "%q", entry)
	}
	for _, entry := range vectors(t, "return/entries_refused.txt") {
		var l List
		assert.Error(t, l.Add(entry), "%q", entry)
		assert.Empty(t, l.entries, "%q", entry)
	}
}

const (
	referenceFault = "is written as a reference; references are resolved only in secrets " +
		"and in the config of the host's own hooks"
	notShown      = "this one (not shown, as it contains an @) "
	userInfoFault = "contains user info, which browsers may send and readers may mistake for the host; remove it"
	starBelow     = "ends in /*; leave out the /*, as an entry also allows everything below it"
)

func TestList_Add_ErrorTexts(t *testing.T) {
	const rule = "an allowed return URL must be an absolute http or https URL, " +
		"or a path on the same site such as /app, without query and fragment; "
	for entry, want := range map[string]string{
		"https://a.example?b": `"https://a.example?..." has a query or a fragment, ` +
			`which would not be compared; remove it`,
		"/a/*":                    `"/a/*" ` + starBelow,
		"http://localhost:3000/*": `"http://localhost:3000/*" ` + starBelow,
		"/*":                      `"/*" is a pattern; write / to allow every path on the same site`,
		"http://*":                `"http://*" ` + starFault,
		"https://*":               `"https://*" ` + starFault,
		"https://*/a":             `"https://*/a" ` + starFault,
		"https://*/*":             `"https://*/*" ` + starFault,
		"//*":                     `"//*" ` + starFault,
		"https://${HOST}/a":       `"https://${HOST}/a" ` + referenceFault,
		"http://localhost:*":      `"http://localhost:*" has a * as its port; write one entry per port`,
		"http://localhost:*/a/*":  `"http://localhost:*/a/*" has a * as its port; write one entry per port`,
		"/a*/*":                   `"/a*/*" ` + starFault,
		"https://a*.a.example":    `"https://a*.a.example" ` + starFault,
		"https://*.example/*":     `"https://*.example/*" ` + starBelow,
		"https://*.example": `"https://*.example" has a * before a single label, ` +
			"which would allow anyone's hosts; write at least two labels after it",
		"https://*.1.2.3.4": `"https://*.1.2.3.4" has a * before an IP address, which has no subdomains`,
		"https://*.a.example:0": `"https://*.a.example:0" has a port that is not a number from 1 to 65535 ` +
			`without leading zeros: "0"`,
		"https://user:pw@*.a.b":   notShown + starFault,
		"https://*.a.b@a.example": notShown + userInfoFault,
		"/a%2Fb": `"/a%2Fb" contains an encoded slash or backslash, or a doubly encoded escape, ` +
			`on which servers differ: "%2f"`,
		"/a/..;b/c":                  `"/a/..;..." contains a dot segment with parameters, which some servers resolve: ".."`,
		"exp://localhost:8081/--/Ca": `"exp://localhost:8081/--/Ca" has another scheme: "exp"`,
	} {
		assert.EqualError(t, new(List).Add(entry), rule+want)
	}
}

func TestList_Add_OtherScheme(t *testing.T) {
	for entry, want := range map[string]bool{
		"exp://localhost:8081/--/Callback": true,
		"exp://*.a.example":                true,
		"myapp://user@callback":            true,
		"com.example.app:/done":            true,
		"javascript:alert(1)":              true,
		"HTTPX://a.example":                true,
		"localhost:4455":                   true,

		"https://a.example?b": false,
		"a.example/b":         false,
		"https://*.example":   false,
		"/a/*":                false,
		"exp://a b":           false,
		"":                    false,
	} {
		err := new(List).Add(entry)
		if want {
			assert.ErrorIs(t, err, ErrScheme, "%q", entry)
		} else {
			assert.Error(t, err, "%q", entry)
			assert.NotErrorIs(t, err, ErrScheme, "%q", entry)
		}
	}
}

// inside implements the rule a second time, with net/url, to which the * of an entry is a letter.
func inside(t *testing.T, to, entry string) bool {
	to, _, _ = strings.Cut(to, "#") // there, net/url is stricter about escapes than a browser
	a, err := url.Parse(to)
	require.NoError(t, err)
	b, err := url.Parse(entry)
	require.NoError(t, err)
	port := func(u *url.URL) string {
		if u.Port() == "" {
			return map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return u.Port()
	}
	host, allowed := strings.ToLower(a.Hostname()), strings.ToLower(b.Hostname())
	if below, ok := strings.CutPrefix(allowed, "*."); ok {
		label, found := strings.CutSuffix(host, "."+below)
		ok = found && label != ""
		if !ok {
			return false
		}
	} else if host != allowed {
		return false
	}
	path := strings.TrimSuffix(a.EscapedPath(), "/") + "/"
	return a.Scheme == b.Scheme && port(a) == port(b) && a.User == nil && a.Opaque == "" &&
		(a.Host != "" || !strings.HasPrefix(to, "//")) &&
		strings.HasPrefix(path, strings.TrimSuffix(b.EscapedPath(), "/")+"/")
}

// FuzzReturnURL checks that every allowed URL is within an entry, also as net/url reads both.
func FuzzReturnURL(f *testing.F) {
	accepted := vectors(f, "return/entries_accepted.txt")
	for i, to := range append(vectors(f, "return/accepted.txt"), vectors(f, "return/refused.txt")...) {
		f.Add(accepted[i%len(accepted)], to)
	}
	for _, entry := range append(accepted, vectors(f, "return/entries_refused.txt")...) {
		f.Add(entry, entry)
		f.Add(entry, strings.Replace(entry, "*", "a", 1)+"/b")
	}
	f.Fuzz(func(t *testing.T, entry, to string) {
		l := listOf(t, entries...)
		within := entries
		if l.Add(entry) == nil {
			within = append([]string{entry}, entries...)
			require.NoError(t, Check(strings.Replace(entry, "*", "a", 1)), "%q", entry)
		}
		if !l.Allows(to) {
			return
		}
		require.NoError(t, Check(to), "%q", to)
		for _, e := range within {
			if inside(t, to, e) {
				return
			}
		}
		t.Errorf("%q is allowed, but within none of %q", to, within)
	})
}
