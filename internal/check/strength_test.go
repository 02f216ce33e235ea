package check

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A source gives reproducible random bytes, so that a count of false alarms is the same every time.
func source(seed byte) *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte{seed}) }

func bytesOf(src *mathrand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = src.Read(b)
	return b
}

func textOf(src *mathrand.ChaCha8, letters string, n int) string {
	r := mathrand.New(src)
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// 32 random bytes may look weaker than they are, by chance: a run, or a part that comes again. At most five in ten
// thousand do, in any of the ways to write them.
func TestRandomSecretsPass(t *testing.T) {
	for name, secret := range map[string]func(src *mathrand.ChaCha8) string{
		"hex":                      func(s *mathrand.ChaCha8) string { return hex.EncodeToString(bytesOf(s, 32)) },
		"upper-case hex":           func(s *mathrand.ChaCha8) string { return strings.ToUpper(hex.EncodeToString(bytesOf(s, 32))) },
		"base64":                   func(s *mathrand.ChaCha8) string { return base64.StdEncoding.EncodeToString(bytesOf(s, 32)) },
		"base64 without padding":   func(s *mathrand.ChaCha8) string { return base64.RawStdEncoding.EncodeToString(bytesOf(s, 32)) },
		"base64url":                func(s *mathrand.ChaCha8) string { return base64.URLEncoding.EncodeToString(bytesOf(s, 32)) },
		"base64url, no padding":    func(s *mathrand.ChaCha8) string { return base64.RawURLEncoding.EncodeToString(bytesOf(s, 32)) },
		"base32":                   func(s *mathrand.ChaCha8) string { return base32.StdEncoding.EncodeToString(bytesOf(s, 32)) },
		"43 letters and digits":    func(s *mathrand.ChaCha8) string { return textOf(s, alphanumeric, 43) },
		"64 letters and digits":    func(s *mathrand.ChaCha8) string { return textOf(s, alphanumeric, 64) },
		"50 lower-case and digits": func(s *mathrand.ChaCha8) string { return textOf(s, alphanumeric[26:], 50) },
		"40 printable": func(s *mathrand.ChaCha8) string {
			return textOf(s, alphanumeric+"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 40)
		},
	} {
		t.Run(name, func(t *testing.T) {
			src, alarms := source(1), 0
			for range 10_000 {
				if text := secret(src); strength(text) < 32 || example(text) {
					alarms++
				}
			}
			t.Logf("%d of 10,000", alarms)
			assert.LessOrEqual(t, alarms, 5)
		})
	}
}

// The same with the machine's own randomness: of a hundred, hardly ever one is refused, and never two.
func TestWhatTheHintsCommandGivesPasses(t *testing.T) {
	alarms := 0
	for range 100 {
		if strength(hex.EncodeToString(randomBytes(32))) < 32 {
			alarms++
		}
	}
	assert.Less(t, alarms, 2)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestWeakSecretsDoNotPass(t *testing.T) {
	src := source(2)
	weak := map[string]string{
		"130 random bits":              rand.Text(),
		"16 bytes in hex":              hex.EncodeToString(bytesOf(src, 16)),
		"24 bytes in base64":           base64.StdEncoding.EncodeToString(bytesOf(src, 24)),
		"32 letters and digits":        textOf(src, alphanumeric, 32),
		"a UUID":                       "8eaef023-2b34-4da1-9baa-8bc8c9d6a490",
		"words":                        "correct-horse-battery-staple",
		"many words":                   "correct horse battery staple under the old bridge by the river",
		"words without spaces":         "thisisaverylongsecretthatnobodywilleverguesssowedonotcare",
		"a sentence":                   "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
		"capitals":                     "THE-QUICK-BROWN-FOX-JUMPS-OVER-THE-LAZY-DOG-AND-THE-DOG-DOES-NOT-MIND",
		"words with a year":            "production-session-signing-secret-of-the-auth-service-in-europe-2026",
		"one letter":                   strings.Repeat("a", 64),
		"a row":                        "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789",
		"digits":                       strings.Repeat("0123456789", 8),
		"hex digits in their order":    strings.Repeat("0123456789abcdef", 4),
		"a repeated word":              strings.Repeat("Passw0rd", 8),
		"16 random bytes twice":        strings.Repeat(hex.EncodeToString(bytesOf(src, 16)), 2),
		"a random text with an ending": textOf(src, alphanumeric, 20) + strings.Repeat("=", 44),
		"digits only, 60":              textOf(src, "0123456789", 60),
		"two letters in turn":          strings.Repeat("ab", 40),
		"spaces":                       strings.Repeat(" ", 64),
		"nothing":                      "",
	}
	for name, text := range weak {
		assert.Less(t, strength(text), 32, name)
	}
}

func TestStrengthIsThatOfTheAlphabet(t *testing.T) {
	for _, row := range []struct {
		text string
		want int // bits a character, times characters, over eight, rounded up
	}{
		{"7", 1},                    // 3.3 bits
		{"8f3a", 2},                 // 4 x 4
		{"8F3A9C01", 4},             // 8 x 4
		{"k9x", 2},                  // 3 x 5.2
		{"Rk", 2},                   // 2 x 6.0: digits are thought to be missing by chance
		{"R9-_", 3},                 // 4 x 5.3, no lower case
		{"Rk9+/", 4},                // 5 x 6.0
		{"Rk9+/!", 5},               // 6 x 6.6
		{"Rk9\xc3\xa4", 5},          // bytes beyond ASCII count as punctuation
		{"a b c d e f g h", 4},      // 15 x 2: words
		{"aaaaaaaa", 1},             // 4 x 2: from the fifth on it is a run
		{"abcdefgh", 1},             // the same, up
		{"hgfedcba", 1},             // and down
		{"4d9f2a4d9f2a4d9f2a", 6},   // hex: 11 of 18 count, the sixth of the second time has been seen
		{"97531xe97531xe97531x", 8}, // 12 of 20 x 5.2; a step of two is no run
	} {
		assert.Equal(t, row.want, strength(row.text), "%q", row.text)
	}
}

// A secret may be as big as the file that it stands in; it is judged by its beginning.
func TestALongSecretIsJudgedQuickly(t *testing.T) {
	assert.GreaterOrEqual(t, strength(textOf(source(3), alphanumeric, 1<<18)), 32)
	assert.Less(t, strength(strings.Repeat("ab", 1<<17)), 32)
}

func TestExamples(t *testing.T) {
	for _, text := range []string{
		"something-super-secret", "SOMETHING SUPER SECRET", "old-session-secret", "older-session-secret", "ancient-session-secret",
		"PLEASE-CHANGE-ME-I-AM-VERY-INSECURE", "please_change_me_now", "32-LONG-SECRET-NOT-SECURE-AT-ALL", "CHANGE-ME-32-CHAR-SECRET-KEY!!!",
		"only-for-this-example", "xx-changeme-" + strings.Repeat("9f", 32),
	} {
		assert.True(t, example(text), text)
	}
	for _, text := range []string{"", "interchange-of-secrets", fmt.Sprintf("%x", bytesOf(source(4), 32)), "correct-horse-battery-staple"} {
		assert.False(t, example(text), text)
	}
}
