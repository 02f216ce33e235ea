package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
	"github.com/stretchr/testify/require"
)

func TestStop_FinishesRunningJobs(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		arrived, goOn := make(chan struct{}), make(chan struct{})
		s := newServer(t, &server{data: func(int) error { close(arrived); <-goOn; return nil }})
		p := d.process(t, s.url, "", func(o *outbox.Options) { o.RescueAfter = time.Minute }).migrate()
		require.NoError(t, p.outbox.Start(t.Context()))
		p.queue(message(1))
		<-arrived
		stopped := make(chan error)
		go func() { stopped <- p.outbox.Stop(t.Context()) }()
		p.queue(message(2))
		select {
		case err := <-stopped:
			t.Fatalf("Stop did not wait: %v", err)
		case <-time.After(100 * time.Millisecond): // Stop must not return
		}
		close(goOn)
		require.NoError(t, <-stopped)
		require.Equal(t, 1, p.jobs("completed"))
		require.Equal(t, 1, p.jobs("available"), "the second job is left to the next worker")
		require.Len(t, s.ids(&s.taken), 1)
	})
}

func TestStop_Bounded(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		arrived, goOn := make(chan struct{}), make(chan struct{})
		s := newServer(t, &server{data: func(int) error { close(arrived); <-goOn; return nil }})
		p := d.process(t, s.url, "", func(o *outbox.Options) { o.RescueAfter = time.Minute }).migrate()
		require.NoError(t, p.outbox.Start(t.Context()))
		p.queue(message(1))
		<-arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.outbox.Stop(ctx), context.Canceled)
		require.Zero(t, p.jobs("completed"))
		require.Zero(t, p.jobs("running"), "no job is left running, and nothing uses the database")
		close(goOn)
		require.NoError(t, p.outbox.Stop(t.Context()), "a second Stop waits for the rest")
	})
}

// TestStop_Webhooks checks that Stop ends the context of Deliver.
func TestStop_Webhooks(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		arrived := make(chan struct{})
		p := d.process(t, "smtp://127.0.0.1:1", "", func(o *outbox.Options) {
			o.RescueAfter = time.Minute
			o.Deliver = func(ctx context.Context, _ webhook.Delivery) error {
				close(arrived)
				<-ctx.Done()
				return errors.New("given up")
			}
		}).migrate()
		require.NoError(t, p.outbox.Start(t.Context()))
		p.queue(hook(1))
		<-arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.outbox.Stop(ctx), context.Canceled)
		require.Equal(t, 1, p.jobs("available")+p.jobs("retryable"), "the next worker retries it")
	})
}
