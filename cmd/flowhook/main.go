// Command flowhook checks and shows the hooks of a configuration file, without the service that it
// is for. Run it with -h for help.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/spell"
)

const help = `flowhook checks and shows the hooks of an auth service, from its YAML file.

Usage:

	flowhook check [flags] file...    report errors and surprising behavior
	flowhook table [flags] file...    print the hooks of each point, in the order they run
	flowhook mermaid [flags] file     print a Mermaid diagram
	flowhook schema [flags]           print a JSON Schema for editors

The file - is standard input. Flags of all commands, each with a list such as a,b:

	-hooks       the service's own hooks: the names in Options.Hooks
	-flows       the service's own flows: Options.Flows
	-strategies  the service's own strategies: Options.Strategies
	-serves      what the service has routes for: Options.Serves, as in login/password,settings

Flags of check:

	-format      text (default), json, github (annotations) or sarif (2.1.0)
	-severity    report only findings of at least this severity: note (default), warning or error

Flag of mermaid:

	-flow        the flows to draw, such as login,recovery; default: all

The exit code of check is 0 without findings, 1 with findings, and 2 with errors: the service would
not start with this file. Wrong arguments and unreadable files are errors, too.

References such as ${NAME} are resolved, so the variables must be set. A store, a courier and
secrets that only the service has do not count as missing.

Examples:

	flowhook check auth.yml
	flowhook check -hooks audit,web_hook -severity warning -format github auth.yml
	helm template . --show-only templates/auth.yml | flowhook check -
	flowhook mermaid -flow login auth.yml > login.mmd
	flowhook schema -hooks audit > auth.schema.json

The last one is for completion in editors. The file then begins with this line:

	# yaml-language-server: $schema=auth.schema.json
`

// The exit codes.
const (
	clean    = 0
	findings = 1
	failed   = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// A command is one run of the program.
type command struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	flags          *flag.FlagSet
	files          []string // the arguments besides flags

	hooks, flows, strategies, serves list

	format   string           // of check
	severity string           // of check
	flow     list             // of mermaid
	options  flowhook.Options // what the file is checked with
}

// commands are the commands, with the flags that only they have.
var commands = []struct {
	name  string
	flags func(c *command)
	run   func(c *command) (code int, err error)
}{
	{"check", (*command).checkFlags, (*command).check},
	{"table", nil, (*command).table},
	{"mermaid", (*command).mermaidFlags, (*command).mermaid},
	{"schema", nil, (*command).schema},
}

// run runs the program and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &command{stdin: stdin, stdout: stdout, stderr: stderr}
	code, err := c.dispatch(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		return clean
	case err != nil:
		fmt.Fprintf(stderr, "flowhook: %s\nflowhook -h shows the usage.\n", strings.TrimPrefix(err.Error(), "flowhook: "))
		return failed
	}
	return code
}

// dispatch runs the command that args name. An error is about the arguments.
func (c *command) dispatch(args []string) (code int, err error) {
	if len(args) == 0 {
		return 0, errors.New("no command")
	}
	var names []string
	for _, command := range commands {
		if command.name != args[0] {
			names = append(names, command.name)
			continue
		}
		c.flags = flag.NewFlagSet(command.name, flag.ContinueOnError)
		c.flags.SetOutput(io.Discard)
		c.flags.Var(&c.hooks, "hooks", "")
		c.flags.Var(&c.flows, "flows", "")
		c.flags.Var(&c.strategies, "strategies", "")
		c.flags.Var(&c.serves, "serves", "")
		if command.flags != nil {
			command.flags(c)
		}
		if err := c.parse(args[1:]); err != nil {
			return 0, err
		}
		if err := c.setOptions(); err != nil {
			return 0, err
		}
		return command.run(c)
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		return 0, flag.ErrHelp
	}
	return 0, fmt.Errorf("unknown command %q; %s", args[0], spell.Hint(args[0], names))
}

// parse parses flags before and after the files.
func (c *command) parse(args []string) error {
	for {
		if err := c.flags.Parse(args); err != nil {
			return err
		}
		rest := c.flags.Args()
		ended := len(rest) < len(args) && args[len(args)-len(rest)-1] == "--"
		if len(rest) == 0 || ended {
			c.files = append(c.files, rest...)
			return nil
		}
		c.files, args = append(c.files, rest[0]), rest[1:]
	}
}

// builtinFlows are the flows that need no -flows.
var builtinFlows = list{"login", "registration", "settings", "verification", "recovery", "logout"}

// setOptions makes the options of the flags. Its errors name the flags.
func (c *command) setOptions() error {
	for _, name := range c.flows {
		if slices.Contains(builtinFlows, name) {
			return fmt.Errorf("-flows is for flows of the service's own; %q is built in", name)
		}
		c.options.Flows = append(c.options.Flows, flowhook.Flow(name))
	}
	for _, name := range c.strategies {
		point := flowhook.Point{Flow: flowhook.Login, Strategy: flowhook.Strategy(name)}
		if valid(flowhook.Options{Serves: []flowhook.Point{point}}) { // known without Options.Strategies
			return fmt.Errorf("-strategies is for strategies of the service's own; %q is built in", name)
		}
		c.options.Strategies = append(c.options.Strategies, flowhook.Strategy(name))
	}
	for _, point := range c.serves {
		flow, strategy, _ := strings.Cut(point, "/")
		c.options.Serves = append(c.options.Serves,
			flowhook.Point{Flow: flowhook.Flow(flow), Strategy: flowhook.Strategy(strategy)})
	}
	c.options.Hooks = map[string]flowhook.HookFactory{}
	for _, name := range c.hooks {
		c.options.Hooks[name] = newStub(name)
		if !valid(flowhook.Options{Hooks: c.options.Hooks}) {
			return fmt.Errorf("-hooks is for hooks of the service's own; %q is built in", name)
		}
	}
	c.options.Logger = discard
	if _, err := flowhook.New(nil, c.options); err != nil { // unknown and reserved names
		return errors.New(option.ReplaceAllStringFunc(err.Error(), asFlag))
	}
	return nil
}

// valid reports whether New accepts options.
func valid(opts flowhook.Options) bool {
	opts.Logger = discard
	_, err := flowhook.New(nil, opts)
	return err == nil
}

// option matches an option of the library in an error, as in Options.Flows[0].
var option = regexp.MustCompile(`Options\.(Flows|Strategies|Serves)(\[\d+\])?`)

// asFlag returns the flag that sets an option.
func asFlag(name string) string {
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "Options."), "[")
	return "-" + strings.ToLower(name)
}

// A list is a flag with words that are separated by commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds words to the list.
func (l *list) Set(words string) error {
	for word := range strings.SplitSeq(words, ",") {
		if word = strings.TrimSpace(word); word != "" {
			*l = append(*l, word)
		}
	}
	return nil
}
