package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Deliver sends a delivery once, and signs it. It is for the worker of a queue, which repeats it.
// It takes at most 5 seconds, whatever timeout the entry has, so that a receiver that hangs does not
// keep the worker.
//
// It returns nil if the receiver answers with a status of 200 to 299, a *[RetryError] if another
// attempt may help, and otherwise an error that is [ErrRejected]. So is an answer of more than
// 64 KiB, even with a status of 200. Another attempt may also help if this process has no entry for
// the delivery, because a process with another version of the file may have one.
//
// The settings are those of the entry with this name in the configuration that New or Reload has
// accepted last in this process. A worker in a process of its own must therefore load the file, too,
// with [flowhook.New]. An entry that a Reload has removed keeps its settings until the process ends,
// for what is still queued.
func (w *Webhook) Deliver(ctx context.Context, d Delivery) error {
	h := w.known.find(d.Hook)
	if h == nil {
		return &RetryError{Err: fmt.Errorf("webhook: no entry for %q: it was removed or renamed, or another "+
			"version of the file has it; give entries an id, so that their names stay", d.Hook)}
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	_, err := h.attempt(ctx, d)
	return err
}

// send sends a delivery until it succeeds, within the time that is left in ctx and the attempts of
// the entry. It returns the body of the answer.
func (h *hook) send(ctx context.Context, d Delivery) (body []byte, err error) {
	var last error
	attempt := func() ([]byte, error) {
		body, err := h.attempt(ctx, d)
		last = err
		var retry *RetryError
		switch {
		case err == nil:
			return body, nil
		case !errors.As(err, &retry):
			return nil, backoff.Permanent(err)
		case retry.After > 0:
			return nil, &backoff.RetryAfterError{Duration: retry.After}
		}
		return nil, err
	}
	options := []backoff.RetryOption{backoff.WithBackOff(h.webhook.wait()), backoff.WithMaxTries(uint(h.attempts))}
	if deadline, ok := ctx.Deadline(); ok { // so that a wait that is too long is not begun
		options = append(options, backoff.WithMaxElapsedTime(max(time.Until(deadline), 1)))
	}
	body, err = backoff.Retry(ctx, attempt, options...)
	if err != nil {
		return nil, last
	}
	return body, nil
}

// newWait returns the waits between attempts: about 0.1 s, 0.2 s, 0.4 s, and so on.
func newWait() backoff.BackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, Multiplier: 2, MaxInterval: 2 * time.Second, RandomizationFactor: 0.5,
	}
}
