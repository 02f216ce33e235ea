package flowtest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
)

// Canary is part of every planted secret.
const Canary = "cAnArY7Q"

// RequireSilent asserts that a text contains no planted secret.
func RequireSilent(t testing.TB, text string, planted ...string) {
	t.Helper()
	for _, c := range append(planted, Canary) {
		if c != "" && strings.Contains(text, c) {
			t.Errorf("%q leaked into %q", c, text)
		}
	}
}

// A CourierFunc is a function that is a courier.
type CourierFunc func(ctx context.Context, m flowhook.Message) error

func (f CourierFunc) Send(ctx context.Context, m flowhook.Message) error { return f(ctx, m) }

// A Mailbox is a courier that keeps its messages.
type Mailbox struct {
	mu    sync.Mutex
	mails []flowhook.Message
}

func (m *Mailbox) Send(_ context.Context, mail flowhook.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, mail)
	return nil
}

// Take empties the mailbox and returns its messages.
func (m *Mailbox) Take() []flowhook.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := m.mails
	m.mails = nil
	return mails
}

// A Clock stands still until Add moves it.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock returns a Clock at a fixed time that is not a whole microsecond.
func NewClock() *Clock { return &Clock{t: time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.UTC)} }

func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A LogBuffer is a log that tests read.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *LogBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Concurrently calls f(0) to f(n-1) at the same time and waits for all of them.
func Concurrently(n int, f func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() { <-start; f(i) })
	}
	close(start)
	all.Wait()
}
