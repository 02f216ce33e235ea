// Package need names what a built-in hook may need from the host's options. The error of New for
// something that is missing wraps one of these, so that package hooktest can add it.
package need

// A Need is something without which a hook cannot work.
type Need string

// The needs of the built-in hooks.
const (
	Store   Need = "a store"
	Courier Need = "a courier"
	Secrets Need = "secrets"
	Link    Need = "a URL for its links"
)

func (n Need) Error() string { return "the hook needs " + string(n) }

// A Stub is a hook that stands for one of the host's own, so that nobody knows what it would report.
type Stub interface{ Stub() }
