package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// What a transaction has written is gone when it fails.
func ExampleNew() {
	ctx, store := context.Background(), memstore.New()
	s := flowhook.Session{ID: "a random ID", IdentityID: "ada", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}

	err := store.Transaction(ctx, "ada", func(ctx context.Context) error {
		if err := store.CreateSession(ctx, s); err != nil {
			return err
		}
		return errors.New("on second thought, no")
	})
	fmt.Println(err)

	_, err = store.FindSession(ctx, s.ID)
	fmt.Println(errors.Is(err, flowhook.ErrNotFound))
	// Output:
	// on second thought, no
	// true
}
