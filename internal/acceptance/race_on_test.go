//go:build race

package acceptance_test

// raceOn reports whether the race detector is on. It makes everything about ten times as slow.
const raceOn = true
