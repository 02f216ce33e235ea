package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/fill"
	"github.com/flowhook/flowhook/internal/spell"
)

// formats are the formats of check.
var formats = map[string]func(w io.Writer, found []flowhook.Finding) error{
	"text":   writeText,
	"json":   writeJSON,
	"github": writeGitHub,
	"sarif":  writeSARIF,
}

var severities = []string{"note", "warning", "error"}

func (c *command) checkFlags() {
	c.flags.StringVar(&c.format, "format", "text", "")
	c.flags.StringVar(&c.severity, "severity", "note", "")
}

// check reports the findings of all files.
func (c *command) check() (code int, err error) {
	write := formats[c.format]
	least := slices.Index(severities, c.severity)
	switch {
	case write == nil:
		return 0, fmt.Errorf("unknown format %q; %s", c.format, spell.Hint(c.format, slices.Sorted(maps.Keys(formats))))
	case least < 0:
		return 0, fmt.Errorf("unknown severity %q; %s", c.severity, spell.Hint(c.severity, severities))
	}
	if err := c.needFiles(); err != nil {
		return 0, err
	}
	var found []flowhook.Finding
	for _, file := range c.files {
		cfg, err := c.load(file)
		wrong, ok := asFinding(err)
		switch {
		case ok:
			found = append(found, wrong)
		case err != nil:
			fmt.Fprintln(c.stderr, err)
			code = failed
		default:
			found = append(found, c.checkOne(cfg, file)...)
		}
	}
	found = slices.DeleteFunc(found, func(f flowhook.Finding) bool { return int(f.Severity) < least })
	for _, f := range found {
		if f.Severity == flowhook.SeverityError {
			code = failed
		}
		code = max(code, findings)
	}
	c.explain(found)
	if err := write(c.stdout, found); err != nil {
		fmt.Fprintln(c.stderr, "flowhook:", err)
		code = failed
	}
	return code, nil
}

// needFiles returns an error without files, or if standard input is one of them twice.
func (c *command) needFiles() error {
	stdin := slices.Index(c.files, "-")
	switch {
	case len(c.files) == 0:
		return errors.New("no file; - is standard input")
	case stdin >= 0 && slices.Contains(c.files[stdin+1:], "-"):
		return errors.New("standard input is given twice")
	}
	return nil
}

const stdinName = "<stdin>"

// load reads a file.
func (c *command) load(file string) (*flowhook.Config, error) {
	if file != "-" {
		return flowhook.LoadConfig(file)
	}
	text, err := io.ReadAll(io.LimitReader(c.stdin, conf.MaxSize+1))
	if err != nil {
		return nil, err
	}
	return flowhook.ParseConfig(text)
}

// asFinding returns an error of a file that is not YAML as a finding.
func asFinding(err error) (f flowhook.Finding, ok bool) {
	var wrong *flowhook.ConfigError
	if !errors.As(err, &wrong) {
		return f, false
	}
	f = flowhook.Finding{Position: wrong.Position, Path: wrong.Path, Severity: flowhook.SeverityError,
		Rule: "invalid", Problem: wrong.Problem, Hint: wrong.Hint}
	if f.File == "" {
		f.File = stdinName
	}
	return f, true
}

// checkOne returns the findings of a file.
func (c *command) checkOne(cfg *flowhook.Config, file string) []flowhook.Finding {
	found := fill.Check(cfg, c.options)
	for i := range found {
		if at := &found[i].Position; at.File == "" { // of standard input, or no position
			if at.File = file; file == "-" {
				at.File = stdinName
			}
		}
	}
	return found
}

// writeText writes each finding on a line.
func writeText(w io.Writer, found []flowhook.Finding) error {
	for _, f := range found {
		if _, err := fmt.Fprintln(w, line(f)); err != nil {
			return err
		}
	}
	return nil
}

// explain prints how to name what only the service knows, in case that is the mistake.
func (c *command) explain(found []flowhook.Finding) {
	if slices.ContainsFunc(found, func(f flowhook.Finding) bool {
		return f.Severity == flowhook.SeverityError && (strings.HasPrefix(f.Path, "selfservice.") ||
			strings.HasPrefix(f.Path, "flowhook.accept"))
	}) {
		fmt.Fprintln(c.stderr, "flowhook: if an error is about the service's own hooks, flows or strategies, name them in "+
			"-hooks, -flows and -strategies")
	}
}

// line returns a finding as a line of text. An error looks like that of New.
func line(f flowhook.Finding) string {
	if f.Severity != flowhook.SeverityError {
		return f.String()
	}
	e := flowhook.ConfigError{Position: f.Position, Path: f.Path, Problem: f.Problem, Hint: f.Hint}
	return e.Error()
}
