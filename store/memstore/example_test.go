package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

func ExampleNew() {
	store := memstore.New()
	session := flowhook.Session{ID: "one", IdentityID: "alice", ExpiresAt: time.Now().Add(time.Hour)}

	err := store.Transaction(context.Background(), "alice", func(ctx context.Context) error {
		if err := store.CreateSession(ctx, session); err != nil { // with the transaction's context
			return err
		}
		return errors.New("something else failed")
	})
	fmt.Println(err)

	_, err = store.FindSession(context.Background(), "one")
	fmt.Println(errors.Is(err, flowhook.ErrNotFound))
	// Output:
	// something else failed
	// true
}
