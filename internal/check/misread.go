package check

import "strings"

// nested finds a configuration that is not at the top level of its file, so that nothing of it is
// read.
func (c *Config) nested(l *list) {
	n := c.File.Nested
	if n == nil {
		return
	}
	in := strings.ReplaceAll(n.In, `"`, "")
	problem := "nothing is configured: " + n.Key + " is below " + in + ", and only the top level is read"
	hint := "move what is below " + in + " to the top level; of Helm values, load what helm template makes of them"
	if n.Text {
		problem = "nothing is configured: " + n.Key + " is in the text " + in +
			", as in a Kubernetes ConfigMap, and is not read there"
		hint = "extract " + in + " into a file of its own, and load that"
	}
	l.setting(Place{Value: n.At}, Warning, "nested-config", hint, "%s", problem)
}

// unresolved finds what a hook of the host's own gets as it is written, and was probably meant to
// be replaced.
func (c *Config) unresolved(l *list) {
	for _, v := range c.File.Unresolved {
		l.setting(Place{Value: v}, Warning, "unresolved", "write ${NAME} for a variable of the environment, or file:PATH",
			"the hook gets this text itself: it is written like a reference, but not like one that is resolved here")
	}
}
