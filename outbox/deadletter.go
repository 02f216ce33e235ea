package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// A DeadLetter is an email or a webhook that was given up: it was rejected, or all attempts have
// failed. It shows neither the recipient nor the content.
type DeadLetter struct {
	ID        int64     // for [Outbox.Resend]
	MessageID string    // the Message-ID of the email, or the webhook-id; Resend keeps it
	Hook      string    // the entry that the webhook is from, as in [webhook.Delivery]; empty for an email
	Created   time.Time // when it was queued
	Died      time.Time // when it was given up
	Attempts  int
	Reason    string // why the last attempt failed
}

// ErrNotFound means that there is no dead letter with the ID: it was resent, its time is over, or
// it never existed.
var ErrNotFound = errors.New("outbox: no such dead letter")

// DeadLetters returns the dead letters whose ID is greater than after, in order of their IDs, and
// at most limit of them, which is from 1 to 10,000. Begin with an after of 0, and go on with the
// last ID.
func (o *Outbox) DeadLetters(ctx context.Context, after int64, limit int) ([]DeadLetter, error) {
	if limit < 1 || limit > 10_000 {
		return nil, fmt.Errorf("outbox: the limit is %d; use one from 1 to 10,000", limit)
	}
	listed, err := o.queue.JobList(ctx, river.NewJobListParams().
		Kinds(emailQueue, webhookQueue).
		States(rivertype.JobStateCancelled, rivertype.JobStateDiscarded).
		Where("id > @after", river.NamedArgs{"after": after}).
		OrderBy(river.JobListOrderByID, river.SortOrderAsc).
		First(limit))
	if err != nil {
		return nil, fmt.Errorf("outbox: listing the dead letters: %w", unmigrated(err))
	}
	var all []DeadLetter
	for _, j := range listed.Jobs {
		d := DeadLetter{ID: j.ID, Created: j.CreatedAt, Attempts: j.Attempt}
		if j.FinalizedAt != nil {
			d.Died = *j.FinalizedAt
		}
		var args struct{ ID, Hook string } // of both kinds
		if err := json.Unmarshal(j.EncodedArgs, &args); err != nil {
			return nil, fmt.Errorf("outbox: the arguments of job %d are invalid: %w", j.ID, err)
		}
		d.MessageID, d.Hook = args.ID, args.Hook
		if n := len(j.Errors); n > 0 {
			d.Reason = strings.TrimPrefix(j.Errors[n-1].Error, "JobCancelError: ")
		}
		all = append(all, d)
	}
	return all, nil
}

// Resend queues a dead letter again, with the same Message-ID or webhook-id. It has the attempts
// that were left, and at least one. If there is no such dead letter, Resend returns [ErrNotFound].
// If two calls resend the same one, it may be sent twice.
func (o *Outbox) Resend(ctx context.Context, id int64) error {
	j, err := o.queue.JobGet(ctx, id)
	if err == nil && isDead(j) {
		_, err = o.queue.JobRetry(ctx, id)
	} else if err == nil || errors.Is(err, rivertype.ErrNotFound) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("outbox: resending a dead letter: %w", unmigrated(err))
	}
	return nil
}

func isDead(j *rivertype.JobRow) bool {
	return (j.Kind == emailQueue || j.Kind == webhookQueue) &&
		(j.State == rivertype.JobStateCancelled || j.State == rivertype.JobStateDiscarded)
}
