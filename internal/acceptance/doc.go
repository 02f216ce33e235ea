// Package acceptance tests flowhook from the outside: slow tests that drive whole services, inject
// faults, race requests against each other, or run what the documentation shows.
package acceptance
