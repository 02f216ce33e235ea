package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook"
)

// A described hook says on /debug/hooks what it does.
type described struct {
	does string
	flowhook.HookFunc
}

func (d described) Describe() string { return d.does }

// wrapHook records each hook for /debug/hooks and /metrics, and logs it. It is Options.Wrap.
//
// It also records the session of the session hook as a sign-in. Options.Issue could do
// that, too, but then flowhook would not know whether the session that asked for a change of the
// address still exists when the link is opened.
func (s *service) wrapHook(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
	if name == "session" {
		session := next
		next = flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			if err := session.Run(ctx, x); err != nil {
				return err
			}
			return s.signedInNow(ctx, x)
		})
	}
	return s.logHook(p, name, s.recorder.Wrap(p, name, s.metrics.wrap(p, name, next)))
}

// logHook logs each run of a hook.
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
		switch no := (*flowhook.Refusal)(nil); {
		case errors.As(err, &no):
			level, outcome = slog.LevelInfo, "refused"
		case err != nil:
			outcome = "error" // the caller logs the text
		default:
			level, outcome = slog.LevelDebug, "ok"
		}
		return err
	})
}
