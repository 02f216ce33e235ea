package queries

import (
	"context"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// changeEmail changes a user's email and ends the user's sessions, or does neither.
func changeEmail(ctx context.Context, store *sqlstore.Store, all gormUsers, id, email string) error {
	return store.Transaction(ctx, id, func(ctx context.Context) error {
		db, ok := all.within(ctx)
		if !ok {
			return errNoTransaction
		}
		if err := db.Model(&gormUser{ID: id}).Update("email", email).Error; err != nil {
			return err
		}
		return store.DeleteSessions(ctx, id, "")
	})
}
