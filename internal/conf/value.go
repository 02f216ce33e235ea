package conf

import (
	"regexp"
	"strings"
	"time"

	"github.com/flowhook/flowhook/internal/reference"
)

// A Flag is a key that turns a flow on or off.
type Flag struct {
	Flow string
	On   bool
	Value
}

// lifespan reads the duration of a session.
func (l *layout) lifespan(v Value, to *time.Duration) {
	d, err := time.ParseDuration(v.Value)
	switch {
	case !l.is(v, "a string such as 24h"):
	case err != nil && isReference(v.Value):
		l.wrong(v, notHere, isNotResolved)
	case err != nil || d < time.Second:
		l.wrong(v, "write it as in 24h, 90m or 1h30m", "not a duration of at least a second")
	default:
		*to = d
	}
}

// word returns a string that is valid, or "". It reports an invalid one, and a valid one that is
// certainly a reference.
func (l *layout) word(v Value, valid func(string) bool, what, hint string) string {
	switch ok := valid(v.Value); {
	case !l.is(v, "a string"):
	case reference.IsUnresolved(v.Value), strings.Contains(v.Value, "${"), shellVariable(v.Value),
		!ok && isReference(v.Value):
		l.wrong(v, notHere, isNotResolved)
	case !ok:
		l.wrong(v, hint, "not %s", what)
	default:
		return v.Value
	}
	return ""
}

// flag sets on to v, and reports whether v is true or false.
func (l *layout) flag(v Value, on *bool) bool {
	if v.ShortTag() == "!!str" && isReference(v.Value) {
		l.wrong(v, notHere, isNotResolved)
		return false
	}
	if !l.is(v, "true or false") {
		return false
	}
	*on = strings.EqualFold(v.Value, "true")
	return true
}

// The problem and the hint for a reference in a place where none is resolved.
const (
	isNotResolved = "a reference or a placeholder, which is not resolved here"
	notHere       = "write the value; references are resolved in secrets and in the configs of the host's own hooks only"
)

// isReference reports whether an invalid value looks like a reference or a placeholder.
func isReference(value string) bool {
	return reference.Is(value) || reference.IsUnresolved(value) || reference.IsForeignVariable(value) ||
		strings.Contains(value, "${")
}

var shellVariable = regexp.MustCompile(`^\$[A-Z_][A-Z0-9_]*$`).MatchString
