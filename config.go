package flowhook

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/spell"
)

// A Config says which hooks stand where: those of a file, and those that the host added. The zero Config is ready to
// use, and has none. Adding is not safe for concurrent use; reading is, so one Config may serve several calls of [New].
type Config struct {
	file  string
	root  conf.Value
	added []added
}

// An added is one call of Add.
type added struct {
	spec
	hook Hook // nil: made by New
}

// LoadConfig reads a YAML file of at most 256 KiB. It fails where the file, or its text, cannot be read: the error is a
// [*ConfigError] for the text, and wraps that of package os for the file. All else that may be wrong, [New] reports.
func LoadConfig(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("flowhook: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, conf.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("flowhook: %w", err)
	}
	return parseConfig(path, data)
}

// ParseConfig is [LoadConfig] for text from elsewhere. Positions in it have no file.
func ParseConfig(data []byte) (*Config, error) {
	return parseConfig("", data)
}

func parseConfig(file string, data []byte) (*Config, error) {
	root, bad := conf.Parse(data)
	if bad != nil {
		return nil, &ConfigError{Position: Position{file, bad.Line, bad.Column}, Problem: bad.Text, Hint: bad.Hint}
	}
	return &Config{file: file, root: root}, nil
}

// Add puts a hook at p, after the file's own there. A nil hook is the built-in one, or the one of Options.Hooks, that
// has the name, without config. What is wrong with it, [New] reports, with the line of this call. Adding changes nothing
// in a pipeline that was made before.
func (c *Config) Add(p Point, name string, hook Hook) {
	s := spec{point: p, name: name, place: place{path: fmt.Sprintf("Add(%s, %q)", p, name)}}
	if _, file, line, ok := runtime.Caller(1); ok {
		s.pos = Position{File: file, Line: line}
	}
	c.added = append(c.added, added{s, hook})
}

// add makes, or takes, a hook that the host added.
func (b *builder) add(a added) {
	r, redirects := a.hook.(*redirect)
	switch {
	case !b.declared(a.spec) || !b.onServed(a.spec):
	case a.hook == nil:
		if b.known(a.spec) && b.mayStand(a.spec) {
			b.put(a.spec, b.make(a.spec))
		}
	case a.name == "":
		b.wrong(a.place, "", "a hook without a name")
	case slices.Contains(builtinHooks, a.name) && (!redirects || a.name != "redirect"):
		b.wrong(a.place, "take another name, or pass nil for the built-in hook", "the name of a built-in hook")
	case redirects && r.err != nil:
		b.wrong(a.place, "", "%v", r.err)
	case isNil(a.hook):
		b.wrong(a.place, "", "a nil function for a hook")
	default:
		b.put(a.spec, a.hook)
	}
}

// declared says whether there is such a point.
func (b *builder) declared(s spec) bool {
	p := s.point
	switch {
	case !slices.Contains(b.flows, p.Flow):
		b.wrong(s.place, spell.Hint(string(p.Flow), names(b.flows)), "unknown flow %q", p.Flow)
	case !slices.Contains(allPhases, p.Phase):
		b.wrong(s.place, spell.Hint(string(p.Phase), names(allPhases)), "unknown phase %q", p.Phase)
	case p.Strategy == FlowWide:
		return true
	case !slices.Contains(b.strategies, p.Strategy):
		b.wrong(s.place, spell.Hint(string(p.Strategy), names(b.strategies)), "unknown strategy %q", p.Strategy)
	case p.Phase == Before:
		b.wrong(s.place, "leave it out", "before has no strategies: none is known yet")
	default:
		return true
	}
	return false
}

// A ConfigError is one thing that is wrong with a configuration. [New] returns all that it found, joined: errors.As finds
// the first, and Unwrap() []error of what New returned gives each.
type ConfigError struct {
	Position        // in the file, or in the Go source for what was added; zero for an option
	Path     string // "selfservice.login.before[0].hook", or "Options.Secrets[1]"
	Problem  string // what is wrong; never shows a secret
	Hint     string // what would be right; may be empty
	Err      error  // what the hook's factory returned, where that is the problem

	rule string // of the finding that it is
}

// Error gives position, path, problem and hint.
func (e *ConfigError) Error() string {
	s := e.Problem
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if pos := e.Position.String(); pos != "" {
		s = pos + ": " + s
	}
	return s
}

// Unwrap gives e.Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// A Position is a place in a file. Lines and columns count from 1; 0 is unknown.
type Position struct {
	File   string
	Line   int
	Column int
}

// String gives file:line:column, without what is unknown.
func (p Position) String() string {
	s := p.File
	for _, n := range []int{p.Line, p.Column} {
		if n > 0 {
			s += ":" + strconv.Itoa(n)
		}
	}
	return strings.TrimPrefix(s, ":")
}
