// Package spell says what somebody may have meant who misspelled a word.
package spell

import (
	"strconv"
	"strings"
)

// Hint says what somebody who wrote name may have meant.
func Hint(name string, known []string) string {
	if best := Nearest(name, known); best != "" {
		return "did you mean " + strconv.Quote(best) + "?"
	}
	return "known: " + strings.Join(known, ", ")
}

// Nearest gives the known word that is fewest edits from name: at most one, or two if the word is long enough; or "".
func Nearest(name string, known []string) string {
	name = strings.ToLower(name)
	for edits := range 3 {
		for _, word := range known {
			if (edits < 2 || len(word) > 3) && within(edits, name, word) {
				return word
			}
		}
	}
	return ""
}

// within says whether so many insertions, deletions and substitutions, or fewer, make b of a.
func within(edits int, a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	if a == "" || b == "" {
		return len(a)+len(b) <= edits
	}
	return edits > 0 && (within(edits-1, a[1:], b[1:]) || within(edits-1, a[1:], b) || within(edits-1, a, b[1:]))
}

// Clip cuts what is too long for an error.
func Clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
