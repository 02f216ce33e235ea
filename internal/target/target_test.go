package target

import (
	"errors"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/internal/testvectors"
	"github.com/stretchr/testify/assert"
)

// vectors reads a list in testdata.
func vectors(t testing.TB, name string) []string { return testvectors.Read(t, "../../testdata/"+name) }

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
