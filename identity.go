package flowhook

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/flowhook/flowhook/internal/letter"
)

// An Identity is the user that an exchange concerns. Use a new one for each exchange, because a run
// that fails restores it.
type Identity struct {
	ID        string    // the host's ID, of any format
	Addresses []Address // may be empty
	Data      any       // the host's own user value; flowhook neither reads it nor restores what it points to
}

// An Address is where a user can be reached.
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

// Key returns the address in a form that is equal for spellings of one mailbox that differ in case.
// Stores compare addresses by it. If Via is "email", Key folds the case of Value by Unicode simple
// folding. Otherwise it returns Value. It removes no other difference: composed and decomposed
// accents have different keys, and so do a domain and its xn-- form.
//
// Only the limit on emails goes by Key. Emails are sent to Value, because a mail server may
// distinguish case.
func (a Address) Key() string {
	if a.Via != "email" {
		return a.Value
	}
	return strings.Map(folded, a.Value)
}

// folded returns the same rune for all runes that differ only in case. For ASCII letters that is
// the lower case one.
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
