package hooktest

import (
	"log/slog"
	"sync"
	"testing"
)

// A testLog keeps what the pipeline logs, and logs it to t.
type testLog struct {
	t    testing.TB
	mu   sync.Mutex
	text []byte
}

// logger returns a logger without the time, which would not be the time of the rig's clock.
func (l *testLog) logger() *slog.Logger {
	dropTime := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: dropTime}))
}

// Write receives one line at a time from slog.
func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line...)
	l.t.Logf("%s", line)
	return len(line), nil
}

func (l *testLog) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

// from returns the text from an offset on.
func (l *testLog) from(start int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[start:])
}
