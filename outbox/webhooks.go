package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/riverqueue/river"
)

// webhookQueue is the name of River's queue for webhooks, and of their kind of job.
const webhookQueue = "flowhook_webhook"

// maxWait is the longest time that a receiver may postpone the next attempt by.
const maxWait = time.Hour

// A webhookJob is a webhook as it is stored.
type webhookJob struct {
	webhook.Delivery
	notBefore time.Time // of the next attempt; set by the attempt that has failed
}

// Kind implements [river.JobArgs].
func (webhookJob) Kind() string { return webhookQueue }

// InsertOpts implements [river.JobArgsWithInsertOpts].
func (webhookJob) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: webhookQueue} }

// A webhookWorker sends webhooks.
type webhookWorker struct {
	river.WorkerDefaults[webhookJob]
	deliver func(ctx context.Context, d webhook.Delivery) error
	logger  *slog.Logger
}

// Work sends the webhook. A rejection makes it a dead letter; after any other error River retries
// it. The error is logged and stored.
func (w *webhookWorker) Work(ctx context.Context, j *river.Job[webhookJob]) error {
	d := j.Args.Delivery
	log := w.logger.With("job", j.ID, "webhook_id", d.ID, "hook", d.Hook, "attempt", j.Attempt)
	err := w.deliver(ctx, d)
	if err == nil {
		log.InfoContext(ctx, "webhook sent")
		return nil
	}
	what := withoutURL(err)
	var later *webhook.RetryError
	switch {
	case errors.Is(err, webhook.ErrRejected):
		log.ErrorContext(ctx, "a webhook was rejected and was given up", "error", what)
		return river.JobCancel(what)
	case j.Attempt >= j.MaxAttempts:
		log.ErrorContext(ctx, "a webhook could not be sent for weeks and was given up", "error", what)
	default:
		log.WarnContext(ctx, "a webhook could not be sent and will be retried", "error", what)
	}
	if errors.As(err, &later) && later.After > 0 {
		j.Args.notBefore = time.Now().Add(min(later.After, maxWait))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", what, ctx.Err()) // River checks whether it caused the error
	}
	return what
}

// NextRetry returns when to try again after Work has failed: as late as River's policy says, and
// not before the time that the receiver asked for.
func (w *webhookWorker) NextRetry(j *river.Job[webhookJob]) time.Time {
	next := new(river.DefaultClientRetryPolicy).NextRetry(j.JobRow)
	if j.Args.notBefore.After(next) {
		return j.Args.notBefore
	}
	return next
}

// withoutURL returns an error with the text of err. If the text is that of a [url.Error], only the
// part after the URL remains, because a URL may be a secret. The errors of [webhook.Webhook.Deliver]
// have texts of their own.
func withoutURL(err error) error {
	var at *url.Error
	if errors.As(err, &at) && (strings.Contains(err.Error(), at.Error()) || strings.Contains(err.Error(), at.URL)) {
		return fmt.Errorf("%s: %w", at.Op, at.Err)
	}
	return errors.New(err.Error())
}
