package mail

import (
	"context"
	"log/slog"
)

// warnings lets through what somebody should look into. River tells of each start, stop and migration, too.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// river gives the logger that River gets.
func (o Options) river() *slog.Logger { return slog.New(warnings{o.logger().Handler()}) }
