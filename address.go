package flowhook

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/flowhook/flowhook/internal/letter"
)

// An Address is where an identity can be reached.
type Address struct {
	Via      string // "email"
	Value    string
	Verified bool
}

// Check returns nil if the verify hook can send an email to a, and an error that is [ErrBadAddress]
// otherwise. Its text says what is wrong, such as two dots in a row, and does not show the address.
// Call Check when a user enters an address, so that your form can say so.
//
// An email address must be one plain address, such as name@example.org, without a display name, a
// comment, a quoted part or a space. If Via is not "email" and Value has no "@", only an empty
// Value, spaces and control characters are wrong.
func (a Address) Check() error {
	if err := letter.CheckAddress(a.Via, a.Value); err != nil {
		return fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	return nil
}

// Key returns what two spellings of one mailbox have in common. Stores compare it to tell whether
// an address is the same as another. If Via is "email", Key returns Value with its letter case
// removed, by Unicode simple folding; otherwise, it returns Value unchanged. It removes no other
// difference: composed and decomposed accents, or a domain and its xn-- form, have different keys.
// Most mail servers ignore case, so an email is sent to a.Value, and only the limit on emails goes
// by Key.
func (a Address) Key() string {
	if a.Via != "email" {
		return a.Value
	}
	return strings.Map(folded, a.Value)
}

// folded returns the rune that stands for all those that differ from r only in case. Of ASCII
// letters that is the lower case one.
func folded(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}
