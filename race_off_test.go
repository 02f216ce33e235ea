//go:build !race

package flowhook_test

// raceOn says that the race detector is on.
const raceOn = false
