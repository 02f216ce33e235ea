package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook"
)

// logHook logs each run of a hook. It is Options.Wrap.
func (s *service) logHook(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		began := time.Now()
		level, outcome := slog.LevelWarn, "panic"
		defer func() {
			s.log.LogAttrs(ctx, level, "hook", slog.String("point", x.Point().String()), slog.String("name", name),
				slog.String("configured", p.String()), slog.String("outcome", outcome),
				slog.Duration("took", time.Since(began)))
		}()
		err := next.Run(ctx, x)
		if err != nil {
			outcome = "error" // the caller logs the text
			return err
		}
		level, outcome = slog.LevelInfo, "ok"
		return nil
	})
}
