package main

import (
	"context"
	"io"
	"log/slog"
)

// newLogger returns the service's logger, as LOG_FORMAT and LOG_LEVEL say.
func newLogger(out io.Writer, format string, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		o.ReplaceAttr = inSeconds
		return slog.New(requestHandler{slog.NewJSONHandler(out, o)})
	}
	return slog.New(requestHandler{slog.NewTextHandler(out, o)})
}

// inSeconds converts a duration to seconds. JSON would show it in nanoseconds.
func inSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

// A requestHandler adds the ID of the request to each record that is logged with its context.
type requestHandler struct{ slog.Handler }

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if q := requestOf(ctx); q != nil {
		r = r.Clone()
		r.AddAttrs(slog.String("request_id", q.id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}
