// Package whatwg tests flowhook's rules for redirect targets and return URLs against a parser of
// the WHATWG URL standard, which browsers follow. It is a module of its own, so that the library
// does not depend on the parser.
package whatwg

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nlnwa/whatwg-url/url"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
)

const (
	baseOrigin = "https://base.example"
	base       = baseOrigin + "/a/b?c#d" // the page that redirects
)

// A place is where a URL leads.
type place struct{ origin, path, query, fragment string }

// shown reads a target as a person does. The origin ends at the first slash, question mark or
// number sign after "://". The path ends at the first question mark or number sign.
func shown(target string) place {
	origin, rest := baseOrigin, target
	if i := strings.Index(target, "://"); target[0] != '/' && i >= 0 {
		end := i + 3 + strings.IndexAny(target[i+3:]+"/", "/?#")
		origin, rest = strings.ToLower(target[:end]), target[end:]
	}
	if strings.HasPrefix(origin, "http:") {
		origin = strings.TrimSuffix(origin, ":80")
	} else {
		origin = strings.TrimSuffix(origin, ":443")
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		path = "/"
	}
	// The standard changes no character that is accepted, except for a quote in a query.
	return place{origin, path, strings.ReplaceAll(query, "'", "%27"), fragment}
}

// resolved reads a target as the parser does.
func resolved(target string) (place, error) {
	u, err := url.ParseRef(base, target)
	if err != nil {
		return place{}, err
	}
	if u.Username() != "" || u.Password() != "" || u.OpaquePath() {
		return place{}, fmt.Errorf("user info or an opaque path in %q", u.String())
	}
	return place{u.Protocol() + "//" + u.Host(), u.Pathname(), u.Query(), u.Fragment()}, nil
}

// accepted reports whether flowhook redirects to a target.
func accepted(t testing.TB, target string) bool {
	w := httptest.NewRecorder()
	err := flowhook.Redirect(target).Run(t.Context(), &flowhook.Exchange{Writer: w})
	if err == nil {
		require.Equal(t, []string{target}, w.Header()["Location"])
	}
	return err == nil
}

// check asserts that an accepted target leads where it seems to lead.
//
// There is one exception. The Unicode tables decide whether a name may have the letters of an xn--
// label, and flowhook does not use them. So such a label may lead nowhere, like a host that does
// not exist. It must not lead elsewhere.
//
// The parser reads a last label such as 0-1 or 99999999999999999999a as a number, while the
// standard reads a name. This needs no exception, because flowhook accepts no name whose last label
// begins with a digit.
func check(t testing.TB, target string) (nowhere bool) {
	got, err := resolved(target)
	if err != nil && strings.Contains(shown(target).origin, "xn--") {
		return true
	}
	require.NoError(t, err, "%q", target)
	require.Equal(t, shown(target), got, "%q", target)
	return false
}

// vectors returns the strings of a file in testdata.
func vectors(t testing.TB, name string) []string { return testkit.Vectors(t, "../../testdata/"+name) }

// The exception of check does not apply to this list, because its xn-- labels are valid.
func TestRedirect_AcceptedVectors(t *testing.T) {
	targets := vectors(t, "redirect/accepted.txt")
	require.GreaterOrEqual(t, len(targets), 60)
	for _, target := range targets {
		t.Run(strconv.Quote(target), func(t *testing.T) {
			require.True(t, accepted(t, target))
			require.False(t, check(t, target))
		})
	}
}

func TestRedirect_RefusedVectors(t *testing.T) {
	targets := vectors(t, "redirect/refused.txt")
	require.GreaterOrEqual(t, len(targets), 220)
	for _, target := range targets {
		require.False(t, accepted(t, target), "%q", target)
	}
	t.Logf("redirect targets: %d accepted ones lead where they seem to, %d are refused",
		len(vectors(t, "redirect/accepted.txt")), len(targets))
}

// The parser reads these targets differently from a person. Otherwise the other tests would prove
// little.
func TestParser_Redirects(t *testing.T) {
	for target, want := range map[string]string{
		"//other.example":                     "https://other.example/",
		`/\other.example`:                     "https://other.example/",
		"/\t/other.example":                   "https://other.example/",
		"https:other":                         "https://base.example/a/other",
		"http:other.example":                  "http://other.example/",
		"https://0x7f.1/":                     "https://127.0.0.1/",
		"https://2130706433/":                 "https://127.0.0.1/",
		"https://127.0.0.1./":                 "https://127.0.0.1/",
		"/a/%2e%2E/b":                         "https://base.example/b",
		"https://example.com\\@other.example": "https://example.com/@other.example",
		"https://%65xample.com/":              "https://example.com/",
		"https://[::ffff:127.0.0.1]/":         "https://[::ffff:7f00:1]/",
		"https://\uff45xample.com/":           "https://example.com/",
		"https://example.com:0443/":           "https://example.com/",
		"/a b":                                "https://base.example/a%20b",
	} {
		require.False(t, accepted(t, target), "%q", target)
		u, err := url.ParseRef(base, target)
		require.NoError(t, err, "%q", target)
		require.Equal(t, want, u.String())
	}
}

// tokens are what a mutation inserts. Each has a meaning to some parser.
var tokens = strings.Fields(`/ // \ . .. %2e %2E : :// :80 :443 :0 @ ? # % %25 %2f %5c %00 %0d%0a [ ] [::1] ::
	http https http: HTTPS:// a b.c example.com other.example. xn-- xn--mnchen-3ya xn--fsq
	- -- _ 0 1 08 0x 0x7f 127 127.0.0.1 1.2.3 255 256 4294967296 2001:db8:: ffff 00 *. ..; %252f
	evil.com @evil.com .example.net example.org /app /here :4455 ; , + = & ' " < > ^ { } | ~ ! * $ ( )
	é 。 ． ⁄ ｅ ß ` + "` \x00 \x7f \u00ad \xff")

// mutate returns one of the seeds with one to four changes.
func mutate(r *rand.Rand, seeds []string) string {
	target := seeds[r.IntN(len(seeds))]
	for range 1 + r.IntN(4) {
		i := r.IntN(len(target) + 1)
		j := min(len(target), i+r.IntN(4))
		switch r.IntN(6) {
		case 0: // delete
			target = target[:i] + target[j:]
		case 1: // repeat
			target = target[:j] + target[i:]
		case 2: // continue with the end of another
			other := seeds[r.IntN(len(seeds))]
			target = target[:i] + other[r.IntN(len(other)+1):]
		case 3: // replace by any byte
			target = target[:i] + string([]byte{byte(r.IntN(256))}) + target[j:]
		case 4: // insert a space or a control character that parsers drop
			target = target[:i] + string(" \t\n\r"[r.IntN(4)]) + target[i:]
		default:
			target = target[:i] + tokens[r.IntN(len(tokens))] + target[j:]
		}
	}
	return target
}

// random logs its seed. Set FLOWHOOK_SEED to repeat a run.
func random(t *testing.T) (seed uint64, r *rand.Rand) {
	seed = rand.Uint64()
	if s := os.Getenv("FLOWHOOK_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("FLOWHOOK_SEED=%d repeats these targets", seed)
	return seed, rand.New(rand.NewPCG(seed, 0))
}

func TestRedirect_MutatedVectors(t *testing.T) {
	seed, r := random(t)
	targets := 200_000
	if testkit.Percent(t) < 100 {
		targets /= 10
	}
	seeds := append(vectors(t, "redirect/accepted.txt"), vectors(t, "redirect/refused.txt")...)
	good, nowhere, elsewhere := 0, 0, 0
	for range targets {
		target := mutate(r, seeds)
		if accepted(t, target) {
			good++
			if check(t, target) {
				nowhere++
			}
		} else if got, err := resolved(target); target != "" && err == nil && got.origin != shown(target).origin {
			elsewhere++
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("redirect targets: %d mutated (seed %d): %d accepted ones lead where they seem to "+
		"(%d of them, with an xn-- label, nowhere); %d refused ones lead to another origin than they seem to",
		targets, seed, good, nowhere, elsewhere)
	require.Greater(t, good, targets/50, "too few to prove anything")
	require.Greater(t, elsewhere, targets/50, "too few to prove anything")
}

// After the first ? or #, a character is accepted if and only if the standard keeps it. The
// exception is a quote in a query, which leads to the same place.
func TestRedirect_QueryAndFragment(t *testing.T) {
	for _, part := range parts {
		for c := range 256 {
			target := part + string([]byte{byte(c)}) + "b"
			got, err := resolved(target)
			kept := err == nil && got == shown(target)
			require.Equal(t, kept, accepted(t, target), "%q", target)
		}
	}
}

// parts are targets that end in a query or a fragment.
var parts = []string{
	"/x?a", "/x#a", "/x?a#a", "/x#a?a",
	"https://a.example?a", "https://a.example/x?a", "https://a.example#a", "http://[::1]:80/?#a",
}

func FuzzRedirectWHATWG(f *testing.F) {
	for _, name := range []string{"redirect/accepted.txt", "redirect/refused.txt"} {
		for _, target := range vectors(f, name) {
			f.Add(target)
		}
	}
	f.Fuzz(func(t *testing.T, target string) {
		if accepted(t, target) {
			check(t, target)
		}
	})
}
