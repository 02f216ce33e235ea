package flowhook

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/spell"
	"gopkg.in/yaml.v3"
)

// A Config says which hooks stand where: those of a file, and those that the host added. The zero Config is ready to
// use, and has none. Adding is not safe for concurrent use; reading is, so one Config may serve several calls of [New].
type Config struct {
	file       string
	root       conf.Value
	hash       string          // SHA-256 of the text, in hexadecimal; empty if there is none
	references conf.References // read with the file
	added      []added
}

// added is one call of Add.
type added struct {
	entry conf.Entry
	hook  Hook // nil if New makes it
}

// LoadConfig reads a YAML file of at most 256 KiB, and the variables and files that it refers to:
// at most 1,000, of 64 KiB each and 8 MiB in all. They are not read again, so that each pipeline
// that is made of the Config, and each Reload with it, works with the file and the secrets of one
// moment.
//
// LoadConfig returns an error if it cannot read the file, which wraps that of package os, or if the
// file is not YAML, which is a [*ConfigError]. [New] reports whatever else is wrong, also with what
// the file refers to.
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

// ParseConfig is [LoadConfig] for text from elsewhere. Positions in it have no file, and relative
// paths begin at the working directory.
func ParseConfig(data []byte) (*Config, error) {
	return parseConfig("", data)
}

func parseConfig(file string, data []byte) (*Config, error) {
	root, bad := conf.Parse(data)
	if bad != nil {
		return nil, &ConfigError{Position: Position{file, bad.Line, bad.Column}, Problem: bad.Text, Hint: bad.Hint}
	}
	sum := sha256.Sum256(data)
	return &Config{file: file, root: root, hash: hex.EncodeToString(sum[:]),
		references: conf.ResolveReferences(root, filepath.Dir(file))}, nil
}

// Add puts a hook at p, after the file's own there. A nil hook is the built-in one, or the one of Options.Hooks, that
// has the name, without config. What is wrong with it, [New] reports, with the line of this call. Adding changes nothing
// in a pipeline that was made before.
func (c *Config) Add(p Point, name string, hook Hook) {
	e := conf.Entry{Flow: string(p.Flow), Phase: string(p.Phase), Strategy: string(p.Strategy), Added: true}
	call := &yaml.Node{Value: name}
	e.Hook = conf.Value{Node: call, Path: fmt.Sprintf("Add(%s, %q)", p, name)}
	if _, file, line, ok := runtime.Caller(1); ok {
		e.File, call.Line = file, line
	}
	c.added = append(c.added, added{e, hook})
}

// unknownName returns what is wrong with the first name in p that is not known, and a hint; "" if
// all of them are known.
func unknownName(p Point, flows []Flow, strategies []Strategy) (problem, hint string) {
	switch {
	case !slices.Contains(flows, p.Flow):
		return spell.Unknown("flow", string(p.Flow), names(flows), "Options.Flows")
	case !slices.Contains(allPhases, p.Phase):
		return spell.Unknown("phase", string(p.Phase), names(allPhases), "")
	case p.Strategy != FlowWide && !slices.Contains(strategies, p.Strategy):
		return spell.Unknown("strategy", string(p.Strategy), names(strategies), "Options.Strategies")
	}
	return "", ""
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
func (p Position) String() string { return conf.Where(p.File, p.Line, p.Column) }
