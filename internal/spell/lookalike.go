package spell

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// similar maps letters of other scripts to the ASCII letters that they look like, in lower case.
var similar = letters(
	"а a в b с c ԁ d е e һ h і i ј j к k ӏ l м m н h о o р p ԛ q г r ѕ s т t υ u ѵ v ԝ w х x у y з 3", // Cyrillic
	"α a β b ε e η n ι i κ k ν v ο o ρ p τ t υ u χ x γ y ω w ϲ c ϳ j",                                 // Greek
	"ı i ȷ j ɑ a ɡ g ɩ i ſ s ℓ l ℯ e ℴ o ℊ g ℎ h ℹ i ⅼ l ⅽ c ⅾ d ⅿ m ⅰ i ⅴ v ⅹ x ƅ b ո n ս u օ o հ h", // others
	"‿ _ ＿ _ ﹍ _ ﹎ _ ﹏ _ ‐ - ‑ - ‒ - – - − -",
)

func letters(tables ...string) map[rune]rune {
	m := map[rune]rune{}
	for _, table := range tables {
		for words := strings.Fields(table); len(words) > 1; words = words[2:] {
			m[[]rune(words[0])[0]] = rune(words[1][0])
		}
	}
	return m
}

// Plain returns what a word looks like, in lower case: without invisible characters, and with ASCII
// letters instead of full-width forms and lookalikes.
func Plain(word string) string {
	return strings.Map(plain, word)
}

// plain is Plain for one character; -1 drops it.
func plain(r rune) rune {
	switch {
	case ' ' <= r && r <= '~': // nearly always
		return unicode.ToLower(r)
	case invisible(r):
		return -1
	case 0xFF01 <= r && r <= 0xFF5E: // full-width forms of ! to ~
		r -= 0xFF01 - '!'
	case 0x1D400 <= r && r < 0x1D6A4: // mathematical alphabets, of 26 capitals and 26 small letters each
		r = 'a' + (r-0x1D400)%26
	case 0x24B6 <= r && r <= 0x24E9: // letters in circles
		r = 'a' + (r-0x24B6)%26
	}
	r = unicode.ToLower(r)
	if ascii, ok := similar[r]; ok {
		return ascii
	}
	return r
}

// marked are Latin letters with a diacritic, each followed by the letter without it.
var marked = letters(
	"à a á a â a ã a ä a å a ā a ă a ą a ǎ a ạ a ả a ç c ć c ĉ c ċ c č c ď d đ d",
	"è e é e ê e ë e ē e ĕ e ė e ę e ě e ẹ e ẽ e",
	"ĝ g ğ g ġ g ģ g ĥ h ħ h ì i í i î i ï i ĩ i ī i ĭ i į i ǐ i ị i ĵ j ķ k ĺ l ļ l ľ l ł l ñ n ń n ņ n ň n",
	"ò o ó o ô o õ o ö o ø o ō o ŏ o ő o ǒ o ọ o ŕ r ŗ r ř r ś s ŝ s ş s š s ș s ţ t ť t ŧ t ț t",
	"ù u ú u û u ü u ũ u ū u ŭ u ů u ű u ų u ǔ u ụ u ŵ w ẁ w ẃ w ẅ w ý y ÿ y ŷ y ỳ y ỹ y ź z ż z ž z",
)

// English reports whether a name has no letter or mark of another language. A lookalike of an ASCII
// letter does not count as one.
func English(name string) bool {
	foreign := func(r rune) bool { return unicode.Is(unicode.M, r) || plain(r) > unicode.MaxASCII }
	return !strings.ContainsFunc(name, foreign)
}

// Disguised returns the known word that equals name without its diacritics, where one character
// beyond ASCII may replace any character of the word. It returns "" if there is no such word.
func Disguised(name string, known []string) string {
	looks := []rune(strings.Map(func(r rune) rune {
		if letter, ok := marked[r]; ok {
			return letter
		}
		return r
	}, Plain(name)))
	for _, word := range known {
		foreign := 0
		same := slices.EqualFunc(looks, []rune(Plain(word)), func(a, b rune) bool {
			if a > unicode.MaxASCII {
				foreign++
			}
			return a == b || a > unicode.MaxASCII
		})
		if same && foreign <= 1 {
			return word
		}
	}
	return ""
}

// invisible reports whether a character shows nothing by itself. A plain space counts as visible.
func invisible(r rune) bool {
	const brailleBlank = '\u2800'
	none := unicode.In(r, unicode.C, unicode.M, unicode.Z, unicode.Other_Default_Ignorable_Code_Point)
	return none && r != ' ' || r == brailleBlank
}

// Quote quotes a name for an error. It escapes everything beyond ASCII if the name has invisible
// characters or lookalikes.
func Quote(name string) string {
	if _, ok := disguise(name); ok {
		return strconv.QuoteToASCII(Clip(name))
	}
	return strconv.Quote(Clip(name))
}

// Show is like [Quote] and also names the first character that is not what it looks like.
func Show(name string) string {
	if r, ok := disguise(name); ok {
		return fmt.Sprintf("%s (with %U, %s)", Quote(name), r, kind(r))
	}
	return Quote(name)
}

// disguise returns the first disguised character of a name that a reader may mistake for an ASCII
// word. ok is false if there is none.
func disguise(name string) (r rune, ok bool) {
	i := strings.IndexFunc(name, disguised)
	if i < 0 || !readable(name) {
		return 0, false
	}
	r, _ = utf8.DecodeRuneInString(name[i:])
	return r, true
}

// disguised reports whether a character is not the one that it looks like.
func disguised(r rune) bool { return plain(r) != unicode.ToLower(r) }

// readable reports whether a reader may mistake a name for an ASCII word. A name in another script
// is not readable.
func readable(name string) bool {
	letter := func(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
	beyond := func(r rune) bool { return r > unicode.MaxASCII }
	return strings.ContainsFunc(name, letter) || !strings.ContainsFunc(Plain(name), beyond)
}

// kind describes a disguised character.
func kind(r rune) string {
	ignorable := unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
	switch {
	case unicode.Is(unicode.M, r) && !ignorable:
		return "a combining mark"
	case invisible(r):
		return "which is invisible"
	case 0xFF01 <= r && r <= 0xFF5E:
		return "a full-width character"
	case unicode.Is(unicode.Cyrillic, r):
		return "a Cyrillic letter"
	case unicode.Is(unicode.Greek, r):
		return "a Greek letter"
	}
	return "which is not ASCII"
}
