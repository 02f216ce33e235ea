// Package spell suggests known words for unknown ones.
package spell

import (
	"strings"
	"unicode"

	"github.com/flowhook/flowhook/internal/target"
)

// Unknown returns the problem and the hint of an error for a name that is not among the known ones.
// option is the option in which the host declares names of its own; it may be empty.
func Unknown(what, name string, known []string, option string) (problem, hint string) {
	hint = Hint(name, known)
	near := Nearest(name, known)
	if option != "" && near == "" {
		hint += "; for one of the host's own, set " + option
	} else if option != "" && len(name) < 4 { // such a short name is always near another, as sms is to saml
		hint += " for one of the host's own, set " + option
	}
	return "unknown " + what + " " + Show(name), hint
}

// Hint suggests the known word that is nearest to name. If none is near, it lists all known words.
func Hint(name string, known []string) string {
	if best := Nearest(name, known); best != "" {
		return "did you mean " + Quote(best) + "?"
	}
	return "known: " + strings.Join(known, ", ")
}

// Nearest returns the known word with the fewest edits from name: at most one, or two if the word
// has more than three letters. It returns "" if there is none. It compares words by their looks;
// see [Plain].
func Nearest(name string, known []string) string { return nearest(name, known, 2) }

// Alike returns the known word that looks like name, or "" if there is none. A word looks like
// itself.
func Alike(name string, known []string) string { return nearest(name, known, 0) }

func nearest(name string, known []string, most int) string {
	looks := []rune(Plain(name))
	foreign := 0 // characters that resemble no ASCII letter, such as é
	for _, r := range looks {
		if r > unicode.MaxASCII {
			foreign++
		}
	}
	c := comparison{lenient: 2*foreign <= len(looks)}
	for edits := range most + 1 {
		for _, word := range known {
			if (edits < 2 || len(word) > 3) && c.within(edits, looks, []rune(Plain(word))) {
				return word
			}
		}
	}
	return ""
}

// A comparison compares words. If it is lenient, any character beyond ASCII matches any ASCII
// character.
type comparison struct{ lenient bool }

func (c comparison) same(a, b rune) bool {
	return a == b || c.lenient && a > unicode.MaxASCII && b <= unicode.MaxASCII
}

// within reports whether at most so many insertions, deletions and substitutions turn a into b.
func (c comparison) within(edits int, a, b []rune) bool {
	for len(a) > 0 && len(b) > 0 && c.same(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	if len(a) == 0 || len(b) == 0 {
		return len(a)+len(b) <= edits
	}
	return edits > 0 && (c.within(edits-1, a[1:], b[1:]) || c.within(edits-1, a[1:], b) || c.within(edits-1, a, b[1:]))
}

// Clip shortens a text that is too long for an error. It also hides what [target.Shown] hides: a
// URL in the wrong place may contain a secret.
func Clip(s string) string {
	const most = 60
	if shown := target.Shown(s); shown != s {
		s = shown + "..."
	}
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
