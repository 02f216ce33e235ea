package storetest_test

import (
	"crypto/rand"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/flowhook/flowhook/store/storetest"
)

// In the tests of a store this is func TestStore.
func ExampleRun() {
	_ = func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) (flowhook.Store, func() string) {
			newIdentity := rand.Text // creates an identity in the database and returns its ID
			return memstore.New(), newIdentity
		})
	}
	// Output:
}
