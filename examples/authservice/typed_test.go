package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
)

// TestCleanName checks that a name is stored as it looks.
func TestCleanName(t *testing.T) {
	for typed, want := range map[string]string{
		" \tAlice \u00a0 Liddell\u3000": "Alice Liddell",
		"\u200fשרה לוי\u200f":           "שרה לוי",
		"\u202bمريم\u202c":              "مريم",
		"Ali\u202ece":                   "Alice",
		"\ufeffAl\u00adi\u200bce":       "Alice",
		"Zoe\u0308":                     "Zoë",
		"👩\u200d👩\u200d👧":               "👩\u200d👩\u200d👧", // the joiners are part of the picture
		"نم\u200cی":                     "نم\u200cی",       // and of the spelling
		"a\xff":                         "a\xff",
		"\u200b\u200e ":                 "",
		norm.NFD.String(strings.Repeat("한", nameMax)): strings.Repeat("한", nameMax),
	} {
		require.Equal(t, want, cleanName(typed), "%q", typed)
	}
	require.Equal(t, "Enter your name.", nameFault("\u200d"), "invisible")
	require.Empty(t, nameFault(strings.Repeat("한", nameMax)))
	require.NotEmpty(t, nameFault("a\xff"))
}

// TestBadAddress checks that the page says what is wrong with an address, and keeps it.
func TestBadAddress(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	long := strings.Repeat("a", 60) + "@" + strings.Repeat(strings.Repeat("b", 60)+".", 4) + "org"
	for typed, want := range map[string]string{
		"alice":               "Enter an email address, such as name@example.org.",
		"josé@example.org":    "only with the letters a to z before the @",
		"用户@example.org":      "only with the letters a to z before the @",
		long:                  "This address is too long. Use one of at most 254 characters.",
		"Alice <a@a.example>": "Enter an email address, such as name@example.org.",
	} {
		b := s.browser().open("/register").press("Register", "name", "Alice", "email", typed, "password", password).
			refused(wrong, want)
		require.Equal(t, typed, b.typed("email"))
		require.Equal(t, "Alice", b.typed("name"))
	}
	require.Equal(t, 0, s.count("users"))
}

// TestPasswords_Spelling checks that a password has the same length and matches however its letters are
// composed: macOS and Windows differ.
func TestPasswords_Spelling(t *testing.T) {
	p, err := newPasswords()
	require.NoError(t, err)
	longest := strings.Repeat("한", passwordMax)
	require.Empty(t, passwordFault(longest))
	require.Empty(t, passwordFault(norm.NFD.String(longest)))
	require.NotEmpty(t, passwordFault(longest+"한"))
	require.NotEmpty(t, passwordFault(norm.NFD.String("éèêà")), "four characters, not eight")
	hash, err := p.hash(t.Context(), longest)
	require.NoError(t, err)
	same, err := p.match(t.Context(), norm.NFD.String(longest), hash)
	require.NoError(t, err)
	require.True(t, same)
}
