package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/fill"
	"github.com/flowhook/flowhook/internal/spell"
)

// table prints the chains of each file. With several files, each has its name above it.
func (c *command) table() (code int, err error) {
	if err := c.needFiles(); err != nil {
		return 0, err
	}
	between := ""
	for _, file := range c.files {
		plan := c.plan(file)
		if plan == nil {
			code = failed
			continue
		}
		if len(c.files) > 1 {
			fmt.Fprintf(c.stdout, "%s%s:\n", between, file)
			between = "\n"
		}
		fmt.Fprint(c.stdout, plan)
	}
	return code, nil
}

func (c *command) mermaidFlags() { c.flags.Var(&c.flow, "flow", "") }

// mermaid prints the diagram of one file.
func (c *command) mermaid() (code int, err error) {
	if err := c.needFiles(); err != nil {
		return 0, err
	}
	if len(c.files) > 1 {
		return 0, errors.New("more than one file; a diagram is of one")
	}
	known := slices.Concat(builtinFlows, c.flows)
	var flows []flowhook.Flow
	for _, name := range c.flow {
		if !slices.Contains(known, name) {
			problem, hint := spell.Unknown("flow", name, known, "-flows")
			return 0, fmt.Errorf("%s; %s", problem, hint)
		}
		flows = append(flows, flowhook.Flow(name))
	}
	plan := c.plan(c.files[0])
	if plan == nil {
		return failed, nil
	}
	fmt.Fprint(c.stdout, plan.Mermaid(flows...))
	return clean, nil
}

// schema prints the JSON Schema.
func (c *command) schema() (code int, err error) {
	if len(c.files) > 0 {
		return 0, fmt.Errorf("schema reads no file, such as %q", c.files[0])
	}
	_, _ = c.stdout.Write(flowhook.Schema(c.options))
	return clean, nil
}

// plan returns the plan of a file. It prints what is wrong, and returns nil then.
func (c *command) plan(file string) *flowhook.Plan {
	cfg, err := c.load(file)
	wrong, ok := asFinding(err)
	switch {
	case ok:
		fmt.Fprintln(c.stderr, line(wrong))
		return nil
	case err != nil:
		fmt.Fprintln(c.stderr, err)
		return nil
	}
	opts, _ := fill.Options(cfg, c.options)
	p, err := flowhook.New(cfg, opts)
	if err != nil {
		found := c.checkOne(cfg, file)
		c.explain(found)
		_ = writeText(c.stderr, found)
		return nil
	}
	return p.Plan()
}
