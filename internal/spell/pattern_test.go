package spell

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
)

// edited returns words that are one edit of an ASCII character from a word.
func edited(word string) (all []string) {
	for i := range len(word) + 1 {
		for _, c := range []string{"x", "s", "_", "S", "~"} {
			all = append(all, word[:i]+c+word[i:])
			if i < len(word) {
				all = append(all, word[:i]+c+word[i+1:])
			}
		}
		if i < len(word) {
			all = append(all, word[:i]+word[i+1:])
		}
	}
	return all
}

// Pattern matches the words that nearest finds.
func TestPattern(t *testing.T) {
	for _, word := range []string{"urls", "session", "verify_ui"} {
		candidates := edited(word)
		for _, once := range edited(word) {
			twice := edited(once)
			candidates = append(candidates, twice...)
			candidates = append(candidates, edited(twice[len(twice)/2])...) // three edits, or fewer
		}
		for edits := range 3 {
			matches, matched := regexp.MustCompile("^(?:"+Pattern(word, edits)+")$").MatchString, 0
			for _, name := range candidates {
				want := nearest(name, []string{word}, edits) != ""
				if matches(name) {
					matched++
				}
				if matches(name) != want {
					assert.Equal(t, want, matches(name), "%q, %d edits from %q", name, edits, word)
				}
			}
			assert.NotZero(t, matched)
			assert.Less(t, matched, len(candidates))
		}
	}
}
