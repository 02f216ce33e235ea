//go:build race

package acceptance_test

// raceOn says that the race detector is on, which makes everything about ten times as slow.
const raceOn = true
