package target

import (
	"errors"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/assert"
)

// vectors returns the strings of a file in testdata.
func vectors(t testing.TB, name string) []string { return testkit.Vectors(t, "../../testdata/"+name) }

func TestCheck_Vectors(t *testing.T) {
	for _, to := range vectors(t, "redirect/accepted.txt") {
		assert.NoError(t, Check(to), "%q", to)
	}
	for _, to := range vectors(t, "redirect/refused.txt") {
		assert.Error(t, Check(to), "%q", to)
	}
}

func TestCheck_ErrorTexts(t *testing.T) {
	const rule = "the target must be an absolute http or https URL, or a path on the same site such as /maintenance; "
	const asciiFault = "is not ASCII; write a host in its xn-- form, and percent-encode the rest"
	const dotFault = "contains a dot segment, which browsers resolve, so that the target leads elsewhere"
	for to, want := range map[string]string{
		"":                          `"" is empty`,
		"/a/%2e%2E/b":               `"/a/%2e%2E/b" ` + dotFault + `: "%2e%2E"`,
		"${TARGET}":                 `"${TARGET}" ` + referenceFault,
		"https://${DOMAIN}/a":       `"https://${DOMAIN}/a" ` + referenceFault,
		"$TARGET":                   `"$TARGET" ` + referenceFault,
		"$(TARGET)/a":               `"$(TARGET)/a" ` + referenceFault,
		"%TARGET%":                  `"%TARGET%" ` + referenceFault,
		"{{ .Values.target }}":      `"{{ .Values.target }}" ` + referenceFault,
		"https://<your-domain>/":    `"https://<your-domain>/" ` + referenceFault,
		"https://${D}/?a":           `"https://${D}/?..." ` + referenceFault,
		"https://a b/?${D}":         `"https://a b/?..." contains a character that must be percent-encoded: " "`,
		"/x/../%3Ftoken=S":          `"/x/../%3F..." ` + dotFault + `: ".."`,
		"/x/../%253ftoken=S":        `"/x/../%253f..." ` + dotFault + `: ".."`,
		"/x%3Ftoken=S<":             `"/x%3F..." contains a character that must be percent-encoded: "<"`,
		"/x%23token=S<":             `"/x%23..." contains a character that must be percent-encoded: "<"`,
		"/x%3btoken=S<":             `"/x%3b..." contains a character that must be percent-encoded: "<"`,
		"/x%u003ftoken=S":           `"/x%u003f..." contains a % that does not begin an escape; write it as %25`,
		"/x\uff1ftoken=S":           "\"/x\uff1f...\" " + asciiFault,
		"/x\uff03token=S":           "\"/x\uff03...\" " + asciiFault,
		"/x\uff1btoken=S":           "\"/x\uff1b...\" " + asciiFault,
		"/x/../%EF%BC%9Ftoken=S":    `"/x/../%EF%BC%9F..." ` + dotFault + `: ".."`,
		"https://user:S%u0040host/": notShown + "contains a % that does not begin an escape; write it as %25",
		"https://u:S%EF%BC%A0host/": notShown + "is not a URL",
		"https:///x":                `"https:///x" has no host; write two slashes and a host after the scheme`,
		"ftp://example.org/":        `"ftp://example.org/" has another scheme: "ftp"`,
		"https://user:pw@a.example": notShown + userInfoFault,
		"ssh://user:pw@a.example":   notShown + "has another scheme",
	} {
		err := Check(to)
		assert.EqualError(t, err, rule+want)
		assert.Equal(t, strings.Contains(want, "another scheme"), errors.Is(err, ErrScheme), "%q", to)
	}
}

func TestCheck_ValidURLThatLooksLikeReference(t *testing.T) {
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

func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"/a?t=S":                       "/a",
		"/a%3Ft=S":                     "/a",
		"/a%23S":                       "/a",
		"/a%3bS":                       "/a",
		"/a%25253FS":                   "/a",
		"/a%EF%BC%83S":                 "/a",
		"/a%ef%bc%9bS":                 "/a",
		"/a%CD%BES":                    "/a",
		"/a%2Fb":                       "/a%2Fb",
		"/a%33f":                       "/a%33f",
		"https://a.example/b":          "https://a.example/b",
		"https://user:S%2540a.example": "",
		"/a%EF%BC%A0b":                 "/a%EF%BC%A0b",
	} {
		assert.Equal(t, want, Shown(text), text)
	}
}
