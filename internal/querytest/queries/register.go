package queries

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// users is the table users (id text PRIMARY KEY, email text NOT NULL UNIQUE).
type users interface {
	// Insert inserts a user in the transaction that ctx carries.
	Insert(ctx context.Context, id, email string) error
}

var errNoTransaction = errors.New("insert a user: the context carries no transaction of the store")

func register(
	ctx context.Context, pipeline *flowhook.Pipeline, x *flowhook.Exchange, all users, email string,
) (handled bool, err error) {
	x.Identity = &flowhook.Identity{ID: rand.Text(), Addresses: []flowhook.Address{{Via: "email", Value: email}}}
	return pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		return all.Insert(ctx, x.Identity.ID, email)
	})
}

// registerOrRetry repeats the whole call if its transaction conflicted with another one.
func registerOrRetry(
	ctx context.Context, pipeline *flowhook.Pipeline, x *flowhook.Exchange, all users, email string,
) (handled bool, err error) {
	for range 3 {
		if handled, err = register(ctx, pipeline, x, all, email); !sqlstore.IsConflict(err) {
			break
		}
	}
	return handled, err
}
