package whatwg

import (
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nlnwa/whatwg-url/url"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/target"
	"github.com/flowhook/flowhook/internal/testkit"
)

// entries is the list for which the vectors in testdata/return are written.
var entries = []string{"https://example.org/app", "https://*.example.net", "http://127.0.0.1:4455", "/here"}

func listOf(t testing.TB, entries ...string) *target.List {
	l := new(target.List)
	for _, entry := range entries {
		require.NoError(t, l.Add(entry), "%q", entry)
	}
	return l
}

// within reports whether a place is within an entry by the parser's reading, without using the
// library. It compares the origin as the parser writes it, and the path up to a slash. To the
// parser, a * is a letter.
func within(t testing.TB, got place, entry string) bool {
	want, err := resolved(entry)
	require.NoError(t, err, "%q", entry)
	if before, after, below := strings.Cut(want.origin, "*"); below {
		rest, http := strings.CutPrefix(got.origin, before)
		label, found := strings.CutSuffix(rest, after)
		if !http || !found || label == "" {
			return false
		}
	} else if got.origin != want.origin {
		return false
	}
	return below(got.path, want.path) && below(served(got.path), served(want.path))
}

func below(path, root string) bool {
	return strings.HasPrefix(strings.TrimSuffix(path, "/")+"/", strings.TrimSuffix(root, "/")+"/")
}

// served returns a path as a very careless server reads it. Such a server removes parameters,
// decodes escapes three times, treats a backslash as a slash, and then resolves dot segments.
func served(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	p = strings.Join(segments, "/")
	for range 3 {
		var b strings.Builder
		for i := 0; i < len(p); i++ {
			if p[i] == '%' && i+2 < len(p) {
				if n, err := strconv.ParseUint(p[i+1:i+3], 16, 8); err == nil {
					b.WriteByte(byte(n))
					i += 2
					continue
				}
			}
			b.WriteByte(p[i])
		}
		p = b.String()
	}
	return path.Clean(strings.ReplaceAll(p, `\`, "/"))
}

// stays asserts that an allowed URL is within an entry. As in check, an xn-- label may lead
// nowhere.
func stays(t testing.TB, to string, entries []string) (nowhere bool) {
	if !isWithin(t, to, entries, &nowhere) {
		require.Fail(t, "escaped", "%q is allowed, but within none of %q", to, entries)
	}
	if nowhere || !strings.HasPrefix(to, "/") {
		return nowhere
	}
	// http.Redirect cleans a path. Apart from empty segments, this must make no difference.
	w := httptest.NewRecorder()
	http.Redirect(w, httptest.NewRequest("GET", base, nil), to, http.StatusSeeOther)
	cleaned := make([]string, len(entries))
	for i, entry := range entries {
		if cleaned[i] = entry; strings.HasPrefix(entry, "/") {
			cleaned[i] = path.Clean(entry)
		}
	}
	if location := w.Header().Get("Location"); !isWithin(t, location, cleaned, &nowhere) {
		require.Fail(t, "escaped", "%q is allowed, but http.Redirect makes it %q, which is within none of %q",
			to, location, cleaned)
	}
	return nowhere
}

// isWithin reports whether the parser reads to as a URL within one of the entries. It sets nowhere
// if to leads nowhere.
func isWithin(t testing.TB, to string, entries []string, nowhere *bool) bool {
	got, err := resolved(to)
	if err != nil && strings.Contains(shown(to).origin, "xn--") {
		*nowhere = true
		return true
	}
	require.NoError(t, err, "%q", to)
	return slices.ContainsFunc(entries, func(entry string) bool { return within(t, got, entry) })
}

func TestReturnURL_AcceptedVectors(t *testing.T) {
	l := listOf(t, entries...)
	for _, to := range vectors(t, "return/accepted.txt") {
		require.True(t, l.Allows(to), "%q", to)
		require.False(t, stays(t, to, entries), "%q", to)
	}
}

// Most refused URLs would escape from the entries by the parser's reading. Otherwise the test would
// prove little.
func TestReturnURL_RefusedVectors(t *testing.T) {
	l := listOf(t, entries...)
	refused := vectors(t, "return/refused.txt")
	require.GreaterOrEqual(t, len(refused), 250)
	escape := 0
	for _, to := range refused {
		require.False(t, l.Allows(to), "%q", to)
		if _, err := url.ParseRef(base, to); err != nil {
			continue
		}
		got, err := resolved(to) // an error means user info or an opaque path
		if err != nil || !slices.ContainsFunc(entries, func(entry string) bool { return within(t, got, entry) }) {
			escape++
		}
	}
	require.GreaterOrEqual(t, escape, 200)
	t.Logf("return URLs: %d allowed ones are within an entry; %d hostile ones are refused, and %d of them would escape",
		len(vectors(t, "return/accepted.txt")), len(refused), escape)
}

// hostile returns variants of an entry: good return URLs, and ones that a careless comparison
// allows.
func hostile(entry string) []string {
	good := strings.Replace(entry, "*", "a", 1)
	tos := []string{
		good,
		entry,
		strings.Replace(entry, "*.", "", 1),
		strings.Replace(entry, "*", "", 1),
		strings.Replace(entry, "*.", "evil", 1),
		strings.Replace(good, "://", "://evil.com@", 1),
		strings.Replace(good, "://", ":///", 1),
		strings.Replace(good, "://", `:\\`, 1),
	}
	for _, more := range []string{
		"/", "/b", "?b", "#b", "b", ".", ".evil.com", "@evil.com", ":80", ":443", ":@evil.com",
		"/../b", "/%2e%2e/b", "/..%2fb", "/%252e%252e/b", "/..;/b", `\b`, "%2fb", "%00", "\n",
	} {
		tos = append(tos, good+more)
	}
	return tos
}

// checkEntry asserts that a list with this entry alone allows only URLs within it.
func checkEntry(t testing.TB, entry string, tos []string) (allowed int) {
	l := new(target.List)
	if l.Add(entry) != nil {
		return 0
	}
	if _, err := resolved(entry); err != nil && strings.Contains(entry, "xn--") {
		return 0 // no host can have this name
	}
	for _, to := range tos {
		if l.Allows(to) {
			allowed++
			stays(t, to, []string{entry})
		}
	}
	return allowed
}

func TestReturnURL_EntryVectors(t *testing.T) {
	accepted, refused := vectors(t, "return/entries_accepted.txt"), vectors(t, "return/entries_refused.txt")
	require.GreaterOrEqual(t, len(refused), 100)
	var all []string
	for _, entry := range append(accepted, refused...) {
		all = append(all, hostile(entry)...)
	}
	for _, entry := range accepted {
		require.Positive(t, checkEntry(t, entry, hostile(entry)), "%q", entry)
		checkEntry(t, entry, all)
	}
	for _, entry := range refused {
		require.Error(t, new(target.List).Add(entry), "%q", entry)
	}
	t.Logf("return URLs: of %d variants, %d entries allow only those within them; %d hostile entries are refused",
		len(all), len(accepted), len(refused))
}

func TestReturnURL_MutatedVectors(t *testing.T) {
	seed, r := random(t)
	count := 1_000_000
	if testkit.Percent(t) < 100 {
		count /= 10
	}
	// Every second seed is an accepted one, because most mutations are refused.
	seeds := [][]string{vectors(t, "return/accepted.txt"), vectors(t, "return/refused.txt")}
	configured := append(vectors(t, "return/entries_accepted.txt"), vectors(t, "return/entries_refused.txt")...)
	l := listOf(t, entries...)
	allowed, nowhere, within := 0, 0, 0
	for i := range count {
		to := mutate(r, seeds[i%2])
		if l.Allows(to) {
			allowed++
			if stays(t, to, entries) {
				nowhere++
			}
		}
		if i%10 == 0 {
			entry := mutate(r, configured)
			within += checkEntry(t, entry, append(hostile(entry), mutate(r, hostile(entry))))
		}
	}
	t.Logf("return URLs: %d mutated (seed %d): %d allowed ones are within an entry "+
		"(%d of them, with an xn-- label, lead nowhere); %d entries mutated: %d allowed URLs are within them",
		count, seed, allowed, nowhere, count/10, within)
	require.Greater(t, allowed, count/50, "too few to prove anything")
	require.Greater(t, within, count/50, "too few to prove anything")
}

func FuzzReturnURLWHATWG(f *testing.F) {
	for _, name := range []string{"return/accepted.txt", "return/refused.txt"} {
		for i, to := range vectors(f, name) {
			f.Add(entries[i%len(entries)], to)
		}
	}
	for _, name := range []string{"return/entries_accepted.txt", "return/entries_refused.txt"} {
		for _, entry := range vectors(f, name) {
			f.Add(entry, strings.Replace(entry, "*", "a", 1)+"/b")
		}
	}
	l := listOf(f, entries...)
	f.Fuzz(func(t *testing.T, entry, to string) {
		if l.Allows(to) {
			stays(t, to, entries)
		}
		checkEntry(t, entry, append(hostile(entry), to))
	})
}

// The parser shows where these refused return URLs would lead.
func TestParser_ReturnURLs(t *testing.T) {
	for to, want := range map[string]string{
		"https://example.org@evil.com":         "https://example.org@evil.com/",
		"https://example.org:443@evil":         "https://example.org:443@evil/",
		"https://evil.com\\@example.org/app":   "https://evil.com/@example.org/app",
		"https:evil.com":                       "https://base.example/a/evil.com",
		"https:///evil.com":                    "https://evil.com/",
		`/\evil.com`:                           "https://evil.com/",
		"https://example.org/app/%2e%2e/admin": "https://example.org/admin",
		"https://evil.com\uff0fa.example.net/": "",
		"https://a\u3002example.net/":          "https://a.example.net/",
	} {
		require.False(t, listOf(t, entries...).Allows(to), "%q", to)
		u, err := url.ParseRef(base, to)
		if want == "" {
			require.Error(t, err, "%q", to)
			continue
		}
		require.NoError(t, err, "%q", to)
		require.Equal(t, want, u.String())
	}
}
