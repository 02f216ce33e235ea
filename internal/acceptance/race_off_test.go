//go:build !race

package acceptance_test

// raceOn says that the race detector is on.
const raceOn = false
