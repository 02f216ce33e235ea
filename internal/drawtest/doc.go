// Package drawtest tests the hook page and the Mermaid diagram in a browser. It is a module of its
// own because it needs a library that drives the browser.
package drawtest
