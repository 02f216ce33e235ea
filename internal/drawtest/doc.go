// Package drawtest opens what shows a configuration in a browser: the hook page, and the Mermaid drawing. It has a module of
// its own for what drives the browser, and nothing but tests.
package drawtest
