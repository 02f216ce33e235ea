// Package leaktest tests that package hooktest leaves no goroutines behind. It is a module of its
// own because it needs go.uber.org/goleak.
package leaktest
