package flowhook

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

func TestRedirectConfig(t *testing.T) {
	for _, row := range []struct{ name, config, to, key, err string }{
		{"to", "to: https://www.ory.sh/maintenance", "https://www.ory.sh/maintenance", "", ""},
		{"the other key", "default_redirect_url: /x", "/x", "", ""},
		{"user-defined switched off", "{to: /x, allow_user_defined_redirect: false}", "/x", "", ""},
		{"user-defined, where there are no return URLs", "{to: /x, allow_user_defined_redirect: true}", "", "allow_user_defined_redirect", "selfservice.allowed_return_urls"},
		{"both", "{to: /x, default_redirect_url: /y}", "", "default_redirect_url", `"to" is set as well`},
		{"both, one empty", `{to: "", default_redirect_url: /y}`, "", "default_redirect_url", `"to" is set as well`},
		{"none", "{}", "", "", `"to" is missing`},
		{"null", "to:", "", "", `"to" is missing`},
		{"empty", `to: ""`, "", "to", `"" is empty`},
		{"a bad target", "to: //other.example", "", "to", "another host"},
		{"a bad target under the other key", "default_redirect_url: //other.example", "", "default_redirect_url", "another host"},
		{"a misspelled key", "too: /x", "", "", "field too not found"},
	} {
		t.Run(row.name, func(t *testing.T) {
			hook, err := newRedirect(decodeStrict(row.config), false)
			if row.err == "" {
				require.NoError(t, err)
				require.Equal(t, &redirect{to: row.to}, hook)
				return
			}
			require.ErrorContains(t, err, row.err)
			require.Nil(t, hook)
			var field *fieldError
			require.Equal(t, row.key != "", errors.As(err, &field))
			if field != nil {
				require.Equal(t, row.key, field.key)
			}
		})
	}
}

func TestRedirectConfigReportsEveryKey(t *testing.T) {
	_, err := newRedirect(decodeStrict("{to: foo, default_redirect_url: /x, allow_user_defined_redirect: true}"), false)
	var joined interface{ Unwrap() []error }
	require.ErrorAs(t, err, &joined)
	var keys []string
	for _, err := range joined.Unwrap() {
		var field *fieldError
		require.ErrorAs(t, err, &field)
		keys = append(keys, field.key)
	}
	require.ElementsMatch(t, []string{"to", "default_redirect_url", "allow_user_defined_redirect"}, keys)
}

func TestARedirectMayAskWhereThereAreReturnURLs(t *testing.T) {
	hook, err := newRedirect(decodeStrict("{to: /x, allow_user_defined_redirect: true}"), true)
	require.NoError(t, err)
	require.Equal(t, &redirect{to: "/x", asks: true}, hook)
}

// decodeStrict is what a factory is given: it refuses unknown keys.
func decodeStrict(config string) func(v any) error {
	return func(v any) error {
		decoder := yaml.NewDecoder(strings.NewReader(config))
		decoder.KnownFields(true)
		return decoder.Decode(v)
	}
}
