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
