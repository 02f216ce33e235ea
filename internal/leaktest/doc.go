// Package leaktest tests that nothing of package hooktest outlives a test. It is a module of its
// own because it needs go.uber.org/goleak.
package leaktest
