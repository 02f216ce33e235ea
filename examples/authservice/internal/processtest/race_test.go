//go:build race

package processtest_test

// Where the tests look for data races, the service that they drive is built to do so too.
const underRace = true
