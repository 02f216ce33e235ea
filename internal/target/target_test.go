package target

import (
	"errors"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/assert"
)

// vectors reads a list in testdata.
func vectors(t testing.TB, name string) []string { return testkit.Vectors(t, "../../testdata/"+name) }

func TestCheckTellsGoodTargetsFromBad(t *testing.T) {
	for _, to := range vectors(t, "redirect/accepted.txt") {
		assert.NoError(t, Check(to), "%q", to)
	}
	for _, to := range vectors(t, "redirect/refused.txt") {
		assert.Error(t, Check(to), "%q", to)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	const rule = "the target must be an absolute http or https URL, or a path on the same site such as /maintenance; "
	for to, want := range map[string]string{
		"":                          `"" is empty`,
		"/a/%2e%2E/b":               `"/a/%2e%2E/b" contains a dot segment, which browsers resolve, so that it leads elsewhere than it says: "%2e%2E"`,
		"${TARGET}":                 `"${TARGET}" is written as a reference, which is resolved in secrets and in the config of the host's own hooks only`,
		"https://${DOMAIN}/a":       `"https://${DOMAIN}/a" ` + referenceFault,
		"$TARGET":                   `"$TARGET" ` + referenceFault,
		"$(TARGET)/a":               `"$(TARGET)/a" ` + referenceFault,
		"%TARGET%":                  `"%TARGET%" ` + referenceFault,
		"{{ .Values.target }}":      `"{{ .Values.target }}" ` + referenceFault,
		"https://<your-domain>/":    `"https://<your-domain>/" ` + referenceFault,
		"https://${D}/?a":           `"https://${D}/?..." ` + referenceFault,
		"https://a b/?${D}":         `"https://a b/?..." contains a character that must be percent-encoded: " "`,
		"/x/../%3Ftoken=S":          `"/x/../%3F..." contains a dot segment, which browsers resolve, so that it leads elsewhere than it says: ".."`,
		"/x/../%253ftoken=S":        `"/x/../%253f..." contains a dot segment, which browsers resolve, so that it leads elsewhere than it says: ".."`,
		"/x%3Ftoken=S<":             `"/x%3F..." contains a character that must be percent-encoded: "<"`,
		"/x%23token=S<":             `"/x%23..." contains a character that must be percent-encoded: "<"`,
		"/x%3btoken=S<":             `"/x%3b..." contains a character that must be percent-encoded: "<"`,
		"/x%u003ftoken=S":           `"/x%u003f..." contains a % that begins no escape; write it as %25`,
		"/x\uff1ftoken=S":           "\"/x\uff1f...\" is not ASCII; write a host in its xn-- form, and percent-encode the rest",
		"/x\uff03token=S":           "\"/x\uff03...\" is not ASCII; write a host in its xn-- form, and percent-encode the rest",
		"/x\uff1btoken=S":           "\"/x\uff1b...\" is not ASCII; write a host in its xn-- form, and percent-encode the rest",
		"/x/../%EF%BC%9Ftoken=S":    `"/x/../%EF%BC%9F..." contains a dot segment, which browsers resolve, so that it leads elsewhere than it says: ".."`,
		"https://user:S%u0040host/": "this one (not shown, as it contains an @) contains a % that begins no escape; write it as %25",
		"https://u:S%EF%BC%A0host/": "this one (not shown, as it contains an @) is not a URL",
		"https:///x":                `"https:///x" has no host; write two slashes and a host after the scheme`,
		"ftp://example.org/":        `"ftp://example.org/" has another scheme: "ftp"`,
		"https://user:pw@a.example": "this one (not shown, as it contains an @) contains user info, which a browser may send and a reader may take for the host; remove it",
		"ssh://user:pw@a.example":   "this one (not shown, as it contains an @) has another scheme",
	} {
		err := Check(to)
		assert.EqualError(t, err, rule+want)
		assert.Equal(t, strings.Contains(want, "another scheme"), errors.Is(err, ErrScheme), "%q", to)
	}
}

func TestCheckAcceptsValidURLsThatLookLikeReferences(t *testing.T) {
	for _, to := range []string{"/$A", "/$(A)", "/a?b=${C}", "/a?{{b}}"} {
		assert.NoError(t, Check(to), to)
	}
}

func TestCheckURL(t *testing.T) {
	const rule = "the URL must be an absolute http or https URL"
	for to, want := range map[string]string{
		"/verify":             rule,
		"//a.test/verify":     rule,
		"verify":              rule,
		"":                    rule,
		"/a://b":              rule,
		"ftp://a.test":        rule + `; "ftp://a.test" has another scheme: "ftp"`,
		"$URL":                rule + `; "$URL" ` + referenceFault,
		"https://${HOST}?t=S": rule + `; "https://${HOST}?..." ` + referenceFault,
	} {
		assert.EqualError(t, CheckURL(to), want, to)
	}
	assert.NoError(t, CheckURL("https://a.example/verify?a"))
}

func TestShownEndsBeforeWhatMayBeAToken(t *testing.T) {
	for text, want := range map[string]string{
		"/a?t=S": "/a", "/a%3Ft=S": "/a", "/a%23S": "/a", "/a%3bS": "/a", "/a%25253FS": "/a", "/a%EF%BC%83S": "/a", "/a%ef%bc%9bS": "/a",
		"/a%CD%BES": "/a", "/a%2Fb": "/a%2Fb", "/a%33f": "/a%33f", "https://a.example/b": "https://a.example/b",
		"https://user:S%2540a.example": "", "/a%EF%BC%A0b": "/a%EF%BC%A0b",
	} {
		assert.Equal(t, want, Shown(text), text)
	}
}
