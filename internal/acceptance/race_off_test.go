//go:build !race

package acceptance_test

// raceOn reports whether the race detector is on.
const raceOn = false
