//go:build !race

package processtest_test

const underRace = false
