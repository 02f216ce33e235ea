package storetest

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

func TestMemstore(t *testing.T) {
	Run(t, func(t *testing.T) (flowhook.Store, func() string) { return memstore.New(), identities() })
}

func identities() func() string {
	var n atomic.Int64
	return func() string { return "identity-" + strconv.FormatInt(n.Add(1), 10) }
}
