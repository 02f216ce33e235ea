package flowhook

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
)

// A Config says which hooks stand where: those of a file, and those that the host added. The zero Config is ready to
// use, and has none. Adding is not safe for concurrent use; reading is, so one Config may serve several calls of [New].
type Config struct {
	file  string
	doc   *conf.Doc
	added []added
}

// An added is one call of Add.
type added struct {
	point Point
	name  string
	hook  Hook // nil: made by New
	pos   Position
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
	doc, bad := conf.Parse(data)
	if bad != nil {
		return nil, configError(file, *bad)
	}
	return &Config{file: file, doc: doc}, nil
}

// Add puts a hook at p, after the file's own there. A nil hook is the built-in one, or the one of Options.Hooks, that
// has the name, without config. What is wrong with it, [New] reports, with the line of this call. Adding changes nothing
// in a pipeline that was made before.
func (c *Config) Add(p Point, name string, hook Hook) {
	a := added{point: p, name: name, hook: hook}
	if _, file, line, ok := runtime.Caller(1); ok {
		a.pos = Position{File: file, Line: line}
	}
	c.added = append(c.added, a)
}

// add makes, or takes, a hook that the host added.
func (b *builder) add(a added) {
	s := spec{point: a.point, name: a.name, pos: a.pos, path: fmt.Sprintf("Add(%s, %q)", a.point, a.name)}
	r, redirects := a.hook.(*redirect)
	switch {
	case !b.declared(s):
	case a.hook == nil:
		if b.known(s) && b.mayStand(s) {
			b.place(s, b.make(s))
		}
	case a.name == "":
		b.refuse(s, "", "a hook without a name")
	case slices.Contains(builtinHooks, a.name) && (!redirects || a.name != "redirect"):
		b.refuse(s, "take another name, or pass nil for the built-in hook", "the name of a built-in hook")
	case redirects && r.err != nil:
		b.refuse(s, "", "%v", r.err)
	case isNil(a.hook):
		b.refuse(s, "", "a nil function for a hook")
	default:
		b.place(s, a.hook)
	}
}

// declared says whether there is such a point.
func (b *builder) declared(s spec) bool {
	p := s.point
	switch {
	case !among(b, s, "flow", p.Flow, b.flows), !among(b, s, "phase", p.Phase, allPhases),
		p.Strategy != FlowWide && !among(b, s, "strategy", p.Strategy, b.strategies):
		return false
	case p.Strategy != FlowWide && p.Phase == Before:
		b.refuse(s, "leave it out", "before has no strategies: none is known yet")
		return false
	}
	return true
}

func among[T ~string](b *builder, s spec, what string, v T, known []T) bool {
	if slices.Contains(known, v) {
		return true
	}
	b.refuse(s, conf.Hint(string(v), names(known)), "unknown %s %q", what, v)
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

func configError(file string, p conf.Problem) *ConfigError {
	return &ConfigError{Position: position(file, p.Place), Path: p.Path, Problem: p.Text, Hint: p.Hint}
}

func position(file string, p conf.Place) Position { return Position{file, p.Line, p.Column} }

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
		if n == 0 {
			break
		}
		if s != "" {
			s += ":"
		}
		s += fmt.Sprint(n)
	}
	return s
}
