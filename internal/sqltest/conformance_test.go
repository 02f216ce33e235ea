package sqltest

import (
	"crypto/rand"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/storetest"
)

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) { return s, rand.Text })
	})
}
