package check

// overruled finds values that a newer or closer key replaces.
func overruled(c *Config, r *report) {
	for _, o := range c.File.Overruled {
		r.value(o.Value, "remove it", "this has no effect: %s is used instead (line %d)", o.By.Path, o.By.Line)
	}
}

// nestedConfig finds configurations that are not at the top level of the file, so that nothing in
// them is read.
func nestedConfig(c *Config, r *report) {
	for _, n := range c.File.Nested {
		r.value(n.At, n.Hint, "%s", n.Problem)
	}
}

// unresolved finds values in the config of the host's own hooks that look like references.
func unresolved(c *Config, r *report) {
	for _, v := range c.File.Unresolved {
		r.value(v, "write ${NAME} for an environment variable, or file:PATH for a file",
			"the hook receives this text unchanged: it looks like a reference, but its form is not resolved here")
	}
}
