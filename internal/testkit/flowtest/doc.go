// Package flowtest has what the tests of the root package share with internal/acceptance: a
// complete service with a browser, stores that record or fail, and fixtures for sessions and runs.
package flowtest
