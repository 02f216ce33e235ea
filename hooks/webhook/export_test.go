package webhook

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// NoWait removes the waits between attempts, except those that a receiver asks for.
func (w *Webhook) NoWait() { w.wait = func() backoff.BackOff { return &backoff.ZeroBackOff{} } }

// SetNow sets the clock.
func (w *Webhook) SetNow(now func() time.Time) { w.now = now }

// CloseIdle closes idle connections when the test ends.
func (w *Webhook) CloseIdle(t testing.TB) { t.Cleanup(w.client.CloseIdleConnections) }

// Dial replaces DNS, and calls connect instead of connecting to an address that the guard allows.
func (w *Webhook) Dial(resolver *net.Resolver, connect func(address string) error) {
	w.dialer.Resolver = resolver
	guard := w.dialer.Control
	w.dialer.Control = func(network, address string, c syscall.RawConn) error {
		if err := guard(network, address, c); err != nil {
			return err
		}
		return connect(address)
	}
}
