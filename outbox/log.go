package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A riverHandler makes River's log like that of the rest. It drops records below Warn, because River
// also logs each start, stop and migration. In an outage of the database, River logs the same message
// about once a second, so the handler logs each at most once a minute, except those about a job. It
// renames the attribute err to error.
type riverHandler struct {
	slog.Handler
	recent *recent
}

func (h riverHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h riverHandler) Handle(ctx context.Context, r slog.Record) error {
	renamed, aboutJob := slog.NewRecord(r.Time, r.Level, r.Message, r.PC), false
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" {
			a.Key = "error"
		}
		aboutJob = aboutJob || a.Key == "job_id"
		renamed.AddAttrs(a)
		return true
	})
	if !aboutJob && h.recent.has(r.Message, r.Time) {
		return nil
	}
	return h.Handler.Handle(ctx, renamed)
}

func (h riverHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return riverHandler{h.Handler.WithAttrs(attrs), h.recent}
}

func (h riverHandler) WithGroup(name string) slog.Handler {
	return riverHandler{h.Handler.WithGroup(name), h.recent}
}

// A recent remembers when a message was last logged. River's messages are constants, so they are few.
type recent struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// has reports whether a message was logged within a minute. If not, it is logged now.
func (l *recent) has(message string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[message]; ok && now.Sub(last) < time.Minute {
		return true
	}
	l.last[message] = now
	return false
}

// riverLogger returns the logger for River.
func (o Options) riverLogger() *slog.Logger {
	return slog.New(riverHandler{o.logger().Handler(), &recent{last: map[string]time.Time{}}})
}
