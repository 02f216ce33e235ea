package flowhook_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

func TestAddressKey(t *testing.T) {
	email := func(value string) string { return flowhook.Address{Via: "email", Value: value}.Key() }

	t.Run("is the same in any letter case", func(t *testing.T) {
		require.Equal(t, "alice+x@example.org", email("ALICE+x@Example.ORG"))
		for _, pair := range [][2]string{
			{"élodie@example.org", "ÉLODIE@EXAMPLE.ORG"},
			{"ΣΑΣ@example.org", "σας@example.org"},
			{"kim@example.org", "\u212aim@example.org"}, // the Kelvin sign
		} {
			require.Equal(t, email(pair[0]), email(pair[1]))
		}
	})

	t.Run("tells other letters apart", func(t *testing.T) {
		for _, pair := range [][2]string{
			{"elodie@example.org", "élodie@example.org"},
			{"i@example.org", "ı@example.org"},
			{"i@example.org", "İ@example.org"},
			{"strasse@example.org", "straße@example.org"},
		} {
			require.NotEqual(t, email(pair[0]), email(pair[1]))
		}
	})

	t.Run("agrees with strings.EqualFold on every rune", func(t *testing.T) {
		for r := rune(0); r <= unicode.MaxRune; r++ {
			if !utf8.ValidRune(r) {
				continue
			}
			next := unicode.SimpleFold(r)
			require.Equal(t, email(string(r)), email(string(next)), "%U and %U", r, next)
			require.True(t, strings.EqualFold(email(string(r)), string(r)), "%U", r)
		}
	})

	t.Run("is the value unless Via is email", func(t *testing.T) {
		for _, via := range []string{"", "sms", "Email", "chat"} {
			require.Equal(t, "Alice@Example.ORG", flowhook.Address{Via: via, Value: "Alice@Example.ORG"}.Key())
		}
	})

	t.Run("leaves Value alone and ignores Verified", func(t *testing.T) {
		a := flowhook.Address{Via: "email", Value: "Alice@Example.ORG", Verified: true}
		require.Equal(t, "alice@example.org", a.Key())
		require.Equal(t, "Alice@Example.ORG", a.Value)
	})
}

// The text of an error says what is wrong with the address, and does not show it.
func TestAddress_Check_says_what_is_wrong(t *testing.T) {
	for value, want := range map[string]string{
		"":                                     "it is empty",
		strings.Repeat("a", 255):               "it is longer than 254 bytes",
		"user..name@example.jp":                "it has two dots in a row",
		".user@example.org":                    "the part before the @ begins or ends with a dot",
		"user.@example.org":                    "the part before the @ begins or ends with a dot",
		"user":                                 "it has no @",
		"user@":                                "nothing is after the @",
		"@example.org":                         "nothing is before the @",
		"us er@example.org":                    "it has a space or an unprintable character",
		"user@example.org\nBcc: a@example.org": "a quoted part or more than one address",
		"user\x00@example.org":                 "it has a space or an unprintable character",
		"\xff@example.org":                     "it has a space or an unprintable character",
		`"user..name"@example.jp`:              "a quoted part",
		"User <user@example.org>":              "a display name",
		"a@example.org,b@example.org":          "more than one address",
		"a@b@example.org":                      "it has more than one @",
	} {
		err := flowhook.Address{Via: "email", Value: value}.Check()
		require.ErrorIs(t, err, flowhook.ErrBadAddress, "%q", value)
		require.ErrorContains(t, err, "not one plain address, such as name@example.org: ", "%q", value)
		require.ErrorContains(t, err, want, "%q", value)
		if value != "@example.org" && len(value) > 5 {
			require.NotContains(t, err.Error(), value)
		}
	}
	require.NoError(t, flowhook.Address{Via: "email", Value: "user.name@example.jp"}.Check())
	require.NoError(t, flowhook.Address{Via: "sms", Value: "+4912345"}.Check())
}
