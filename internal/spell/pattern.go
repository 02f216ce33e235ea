package spell

import (
	"regexp"
	"strconv"
	"strings"
)

// Pattern returns a regular expression for the words of printable ASCII that are at most so many
// edits from word, which is in lower case, with letters of either case. edits is at most 2. The
// expression has no anchors, and the same meaning in Go and in ECMAScript.
func Pattern(word string, edits int) string {
	const any = "[ -~]"
	switch {
	case edits == 0:
		return eitherCase(word)
	case word == "":
		return any + "{0," + strconv.Itoa(edits) + "}"
	}
	first, rest := eitherCase(word[:1]), word[1:]
	p := "(?:" + first + Pattern(rest, edits)
	p += "|" + any + "?" + first + "?" + Pattern(rest, edits-1) // an edit here
	if edits == 2 {
		p += "|" + any + any + eitherCase(word) // two insertions here
	}
	return p + ")"
}

// eitherCase returns an expression for a word in which each letter may be of either case.
func eitherCase(word string) string {
	var b strings.Builder
	for _, r := range word {
		if upper := strings.ToUpper(string(r)); upper != string(r) {
			b.WriteString("[" + string(r) + upper + "]")
		} else {
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return b.String()
}
