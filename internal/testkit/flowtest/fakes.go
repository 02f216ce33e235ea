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

// A canary is in every value that must not be seen, and in nothing else.
const Canary = "cAnArY7Q"

// requireSilent asserts that text has none of what must not be seen.
func RequireSilent(t testing.TB, text string, planted ...string) {
	t.Helper()
	for _, c := range append(planted, Canary) {
		if c != "" && strings.Contains(text, c) {
			t.Errorf("%q has got into %q", c, text)
		}
	}
}

type CourierFunc func(ctx context.Context, m flowhook.Message) error

func (f CourierFunc) Send(ctx context.Context, m flowhook.Message) error { return f(ctx, m) }

// mailbox is a courier that keeps what it is given.
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

// take empties the mailbox.
func (m *Mailbox) Take() []flowhook.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := m.mails
	m.mails = nil
	return mails
}

// clock is a clock that stands still until it is moved.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

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

// logbook is a log that tests read.
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

// together calls f so often, all at the same time, and waits for all.
func Concurrently(n int, f func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() { <-start; f(i) })
	}
	close(start)
	all.Wait()
}
