package check

// nested finds configurations that are not at the top level of their file, so that nothing of them
// is read.
func (c *Config) nested(l *list) {
	for _, n := range c.File.Nested {
		l.setting(Place{Value: n.At}, Warning, "nested-config", n.Hint, "%s", n.Problem)
	}
}

// unresolved finds what a hook of the host's own gets as it is written, and was probably meant to
// be replaced.
func (c *Config) unresolved(l *list) {
	for _, v := range c.File.Unresolved {
		l.setting(Place{Value: v}, Warning, "unresolved", "write ${NAME} for a variable of the environment, or file:PATH",
			"the hook gets this text itself: it is written like a reference, but not like one that is resolved here")
	}
}
