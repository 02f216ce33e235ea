package target

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Shown returns the part of a URL that may appear in errors, logs and pages: everything before the
// first ?, # or ;, encoded or not, because a secret may follow it. It returns "" for a text that is
// not a valid target and contains an @, encoded or not, because any part of it may be a password.
func Shown(text string) string {
	if containsAt(text) {
		if fault, _ := targetFault(text); fault != "" {
			return ""
		}
	}
	end, _ := separator(text)
	return text[:end]
}

// These match characters that a reader may take for ?, # or ;, and for @. They are the characters,
// their full-width and small forms, and all of them percent-encoded, any number of times, or as %u
// and four hex digits.
var (
	separators = regexp.MustCompile(`(?i)[?#;\x{37e}\x{fe54}\x{fe56}\x{fe5f}\x{ff03}\x{ff1b}\x{ff1f}]` +
		`|%(?:25)*(?:3f|23|3b|u00(?:3f|23|3b)|u037e|ufe5[46f]|uff(?:03|1b|1f)` +
		`|cd%(?:25)*be|ef%(?:25)*b9%(?:25)*(?:94|96|9f)|ef%(?:25)*bc%(?:25)*(?:83|9b|9f))`)
	ats = regexp.MustCompile(`(?i)[@\x{fe6b}\x{ff20}]` +
		`|%(?:25)*(?:40|u0040|ufe6b|uff20|ef%(?:25)*b9%(?:25)*ab|ef%(?:25)*bc%(?:25)*a0)`)
)

// separator returns the offsets at which the first ?, # or ; of a text begins and ends. If there is
// none, both are the length of the text.
func separator(text string) (begin, end int) {
	if special(text) {
		if at := separators.FindStringIndex(text); at != nil {
			return at[0], at[1]
		}
	}
	return len(text), len(text)
}

// containsAt reports whether a text contains an @, encoded or not.
func containsAt(text string) bool { return special(text) && ats.MatchString(text) }

// special reports whether a text has a character with which a match of separators or ats begins. It
// is fast: most texts have none, and a file may have thousands of keys.
func special(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 || strings.ContainsRune("?#;@%", r) })
}

// refusal returns the error for a text that has a fault. It quotes no more of the text and of the
// part than Shown returns, except for a single character, which reveals nothing.
func refusal(rule, text, fault, part string) error {
	err := errors.New(fault)
	if fault == ErrScheme.Error() {
		err = ErrScheme
	}
	if containsAt(text) {
		return fmt.Errorf("%s; this one (not shown, as it contains an @) %w", rule, err)
	}
	begin, end := separator(text)
	shown := text[:begin]
	if begin < len(text) {
		known, _ := separator(part)
		if part = part[:known]; len(part) > 1 && !strings.Contains(shown, part) {
			part = ""
		}
		shown += text[begin:end] + "..."
	}
	if part != "" {
		return fmt.Errorf("%s; %q %w: %q", rule, shown, err, part)
	}
	return fmt.Errorf("%s; %q %w", rule, shown, err)
}
