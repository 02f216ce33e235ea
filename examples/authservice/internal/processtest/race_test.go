//go:build race

package processtest_test

// If the tests run under the race detector, the service is built with it, too.
const underRace = true
