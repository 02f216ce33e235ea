package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook"
)

// newAudit makes the hook audit: a row in the table audit. At after, the row is part of the transaction: it stands if and
// only if what it tells of does. At failed there is no transaction any more, and the row is one of its own.
func (s *service) newAudit(p flowhook.Point, _ func(v any) error) (flowhook.Hook, error) {
	if p.Phase != flowhook.After && p.Phase != flowhook.Failed {
		return nil, errors.New("it tells what has happened; it stands at after and at failed")
	}
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		var who any                                                                                // NULL
		if x.Identity != nil && !(p.Flow == flowhook.Registration && p.Phase == flowhook.Failed) { // that one was not saved
			who = x.Identity.ID
		}
		row := func(ctx context.Context) error {
			_, err := s.db.exec(ctx, "INSERT INTO audit (at, point, outcome, user_id, client) VALUES ($1, $2, $3, $4, $5)",
				s.now().UnixMicro(), x.Point().String(), reason(x.Err), who, client(x.Request))
			return err
		}
		if p.Phase == flowhook.After {
			return row(ctx)
		}
		return s.transaction(ctx, "", row) // in the store's queue of writers, which SQLite needs
	}), nil
}

// logHook puts a line for each hook into the log. It is Options.Wrap.
func (s *service) logHook(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		began := time.Now()
		level, outcome := slog.LevelWarn, "panic"
		defer func() {
			s.log.LogAttrs(ctx, level, "hook", slog.String("point", x.Point().String()), slog.String("name", name),
				slog.String("configured", p.String()), slog.String("outcome", outcome), slog.Duration("took", time.Since(began)))
		}()
		err := next.Run(ctx, x)
		if err != nil {
			outcome = "error" // its text is in the log of whoever handles it
			return err
		}
		level, outcome = slog.LevelInfo, "ok"
		return nil
	})
}
