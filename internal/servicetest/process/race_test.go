//go:build race

package process_test

// If the tests run under the race detector, the service is built with it, too.
const underRace = true
