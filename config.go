package flowhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/flowhook/flowhook/internal/check"
	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/spell"
	"gopkg.in/yaml.v3"
)

// A Config is a configuration: the hooks and settings of a file, and the hooks that the host added.
// The zero Config is empty and ready to use. One Config may serve several concurrent calls of
// [New], but [Config.Add] is not safe for concurrent use.
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

// LoadConfig reads a YAML file of at most 256 KiB. It also reads the environment variables and
// files that the file refers to: at most 1,000, of 64 KiB each and 8 MiB in all. They are not read
// again, so every pipeline with this Config uses the file and the secrets of the same moment.
//
// If LoadConfig cannot read the file, its error wraps that of package os. If the file is not YAML,
// it is a [*ConfigError]. [New] reports whatever else is wrong, including bad references.
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

// ParseConfig is [LoadConfig] for YAML that does not come from a file. Positions have no file name,
// and relative paths start at the working directory.
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

// Schema returns a JSON Schema, version 2020-12, for editors: it completes and checks the files that
// [New] accepts with the Hooks, Flows and Strategies of opts. It rejects an unknown key, hook, flow,
// strategy, phase or rule, and a built-in hook where it is not allowed. It does not know everything
// that New does, such as whether a redirect has a valid target. A key that only looks like a known
// one, because it has letters of other alphabets, may pass at the top level.
func Schema(opts Options) []byte {
	v := conf.Vocabulary{
		Flows:      names(union(builtinFlows, opts.Flows)),
		Strategies: names(union(builtinStrategies, opts.Strategies)),
		Rules:      map[string]string{},
	}
	for _, rule := range check.Rules {
		if rule != "unused-accept" {
			v.Rules[rule] = check.Describe(rule)
		}
	}
	for _, name := range builtinNames() {
		kind := builtinNamed(name)
		if _, replaced := opts.Hooks[name]; !replaced || !kind.replaceable {
			v.Hooks = append(v.Hooks, conf.HookKind{Name: name, Description: kind.description, Config: kind.config,
				Allowed: func(flow, phase string) bool { return kind.allowedAt(Flow(flow), Phase(phase)) }})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(opts.Hooks)) {
		if kind := builtinNamed(name); kind == nil || kind.replaceable {
			v.Hooks = append(v.Hooks, conf.HookKind{Name: name, Description: "A hook of the service's own.", Custom: true})
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(conf.Schema(&v)); err != nil {
		panic(err) // it has nothing but strings, lists and maps
	}
	return b.Bytes()
}

// Add adds a hook at p, after those of the file and those added earlier. If hook is nil, New makes
// the hook with this name, built in or from Options.Hooks, without a config. [New] reports what is
// wrong with it, at the line of the call to Add. Pipelines that already exist do not change.
func (c *Config) Add(p Point, name string, hook Hook) {
	e := conf.Entry{Flow: string(p.Flow), Phase: string(p.Phase), Strategy: string(p.Strategy), Added: true}
	call := &yaml.Node{Value: name}
	e.Hook = conf.Value{Node: call, Path: fmt.Sprintf("Add(%s, %q)", p, name)}
	if _, file, line, ok := runtime.Caller(1); ok {
		e.File, call.Line = file, line
	}
	c.added = append(c.added, added{e, hook})
}

// unknownName returns what is wrong with the first unknown name in p, and a hint. It returns "" if
// all names are known.
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

// A ConfigError is one problem of a configuration. [New] joins all that it finds: errors.As finds
// the first, and the method Unwrap() []error of New's error returns all of them.
type ConfigError struct {
	Position        // in the file, or the Go source of an added hook; zero for an option
	Path     string // as in "selfservice.login.before[0].hook" or "Options.Secrets[1]"
	Problem  string // what is wrong; never shows a secret
	Hint     string // how to fix it; may be empty
	Err      error  // the cause, such as the error of a hook's factory; may be nil

	rule string // of the finding, with Options.Strict
}

// Error returns the position, path, problem and hint.
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

// Unwrap returns e.Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// A Position is a place in a file. Lines and columns, in characters, count from 1. Zero means unknown.
type Position struct {
	File   string
	Line   int
	Column int
}

// String returns file:line:column, without the parts that are unknown.
func (p Position) String() string { return conf.Where(p.File, p.Line, p.Column) }
