package main

import (
	"context"
	"time"
)

const (
	cleanEvery = 10 * time.Minute
	cleanBatch = 500
)

// stale lists the rows of the service's tables that are no longer needed. Each statement handles
// one batch, so that it holds its locks only briefly. $1 is the current time minus age.
var stale = []struct {
	age   time.Duration
	query string
}{
	{0, "DELETE FROM sign_ins WHERE session_id IN (SELECT session_id FROM sign_ins WHERE expires_at <= $1 ORDER BY " +
		"expires_at LIMIT $2)"},
	{deviceLifetime, "DELETE FROM devices WHERE (user_id, device) IN (SELECT user_id, device FROM devices WHERE " +
		"last_seen <= $1 ORDER BY last_seen LIMIT $2)"},
	// An IP address is personal data. It is kept only as long as someone may investigate an
	// attempt.
	{90 * 24 * time.Hour, "UPDATE audit SET address = NULL WHERE id IN (SELECT id FROM audit WHERE address IS NOT " +
		"NULL AND at <= $1 ORDER BY at LIMIT $2)"},
	{365 * 24 * time.Hour, "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at <= $1 ORDER BY at LIMIT $2)"},
}

// cleanUp deletes expired rows in batches.
func (s *service) cleanUp(ctx context.Context) error {
	now := s.now()
	// An expired token is kept for as long as the longest interval of a verify hook, which looks
	// for the last email.
	if err := s.inBatches(ctx, func(ctx context.Context) (int, error) {
		return s.store.DeleteExpired(ctx, now.Add(-24*time.Hour), cleanBatch)
	}); err != nil {
		return err
	}
	for _, one := range stale {
		if err := s.inBatches(ctx, func(ctx context.Context) (deleted int, err error) {
			err = s.store.Transaction(ctx, "", func(ctx context.Context) error {
				n, err := s.db.exec(ctx, one.query, now.Add(-one.age).UnixMicro(), cleanBatch)
				deleted = int(n)
				return err
			})
			return deleted, err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) inBatches(ctx context.Context, batch func(ctx context.Context) (int, error)) error {
	for {
		deleted, err := batch(ctx)
		if err != nil || deleted < cleanBatch {
			return err
		}
	}
}

// keepClean cleans up every cleanEvery until ctx ends.
func (s *service) keepClean(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.cleanUp(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "cleanup failed; it will be retried", "error", err)
			}
		}
	}
}
