package outbox

import (
	"context"
	"log/slog"
)

// warnings is a handler that drops records below Warn. River also logs each start, stop and
// migration.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// riverLogger returns the logger for River.
func (o Options) riverLogger() *slog.Logger { return slog.New(warnings{o.logger().Handler()}) }
