package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A riverHandler makes River's log like that of the rest. It drops records below Warn, because
// River also logs each start, stop and migration. In an outage of the database, River logs the same
// message about once a second, so the handler logs each at most once a minute for each queue or
// index, except those about a job. It renames the attribute err to error.
type riverHandler struct {
	slog.Handler
	recent *recent
}

func (h riverHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h riverHandler) Handle(ctx context.Context, r slog.Record) error {
	renamed, aboutJob := slog.NewRecord(r.Time, r.Level, r.Message, r.PC), false
	about := subject{message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "err":
			a.Key = "error"
		case "job_id":
			aboutJob = true
		case "queue":
			about.queue = a.Value.String()
		case "index_name":
			about.index = a.Value.String()
		}
		renamed.AddAttrs(a)
		return true
	})
	if !aboutJob && h.recent.has(about, r.Time) {
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

// A subject is what a message is about. River's messages are constants, so subjects are few.
type subject struct{ message, queue, index string }

// A recent remembers when a message about a subject was last logged.
type recent struct {
	mu   sync.Mutex
	last map[subject]time.Time
}

// has reports whether a message was logged within a minute. If not, it is logged now.
func (l *recent) has(about subject, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[about]; ok && now.Sub(last) < time.Minute {
		return true
	}
	l.last[about] = now
	return false
}

// riverLogger returns the logger for River.
func (o Options) riverLogger() *slog.Logger {
	return slog.New(riverHandler{o.logger().Handler(), &recent{last: map[subject]time.Time{}}})
}
