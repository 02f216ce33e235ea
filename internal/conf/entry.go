package conf

import (
	"strconv"
	"strings"
	"time"
)

// An Entry is one configured hook: an entry of the file, or a call of Config.Add. It is the same
// value from the file to the hook page.
type Entry struct {
	Flow, Strategy string
	In             string // the key that it is under: before, after or failed
	Phase          string // of its point; until the hook is made, what the entry itself says, or ""
	Hook           Value  // its name; for an added hook, the call
	Config         Value
	Timeout        time.Duration // 0 means none
	TimeoutAt      Value
	Broken         bool // one of the Problems is in it, so the hook cannot be made

	// The rest is set by package flowhook when it makes the hook.
	File             string // that the hook is configured in: the YAML file, or Go source
	Added            bool   // by Config.Add
	Builtin          string // the built-in hook that it is, by its main name; "" for the host's own
	Description      string // one sentence for operators; may be empty
	Target           string // where a redirect goes, up to its first ?, # or ;
	TargetAt         Value
	VerificationPage string // where a hook that is no redirect sends some users, shown as Target
	Finder           bool   // the hook is the host's own, and has findings of its own
	FollowsReturnTo  bool   // a redirect that goes where the request says, if that is allowed
	Seq              int    // its number among all hooks, in the order they are written
}

// Name returns the hook's name in the file.
func (e *Entry) Name() string { return e.Hook.Value }

// Where returns the position of the entry, as in auth.yml:3:9.
func (e *Entry) Where() string { return Where(e.File, e.Hook.Line, e.Hook.Column) }

// Redirects reports whether the hook is a redirect, which always answers.
func (e *Entry) Redirects() bool { return e.Target != "" }

// MayAnswer reports whether the hook is no redirect, but may answer.
func (e *Entry) MayAnswer() bool { return !e.Redirects() && (e.Custom() || e.VerificationPage != "") }

// Leads returns where a redirect goes.
func (e *Entry) Leads() string {
	if e.FollowsReturnTo {
		return e.Target + " or return_to"
	}
	return e.Target
}

// Is reports whether the entry is the built-in hook with this main name.
func (e *Entry) Is(builtin string) bool { return e.Builtin == builtin }

// Custom reports whether the hook is the host's own.
func (e *Entry) Custom() bool { return e.Builtin == "" }

// Where returns a position as file:line:column, without the parts that are unknown.
func Where(file string, line, column int) string {
	s := file
	for _, n := range []int{line, column} {
		if n > 0 {
			s += ":" + strconv.Itoa(n)
		}
	}
	return strings.TrimPrefix(s, ":")
}
