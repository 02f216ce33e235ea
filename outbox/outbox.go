// Package outbox sends email and webhooks, and loses none. [Outbox.Courier] and [Outbox.Webhooks]
// insert a job in the transaction of flowhook's store, so the job exists only if the change it is
// about was saved. A worker does the job, and retries it after errors. The queue and the worker are
// those of River, on PostgreSQL or SQLite.
//
// Delivery is at least once. A worker may die after a server has accepted something and before the
// worker has recorded that. Then it is sent again, with the same Message-ID or webhook-id, so that
// the receiver can recognize the copy.
//
// A job contains no secrets. An email has an address and often a link or a code that signs a user
// in, so it is encrypted: reading the table river_job, or a backup of it, is not enough to use a
// link. A webhook is stored as it is. Its body is whatever the web_hook entry sends; its URL,
// credentials and signing secrets stay in the configuration, and it is signed when it is sent. Jobs
// that are done are deleted after a minute, and dead letters after Options.KeepDead.
package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// Options are the options of an [Outbox]. They need a database, and SMTP or Deliver.
type Options struct {
	// Pool is the database of a pgxstore. With a sqlstore, DB and Dialect are its database and its
	// dialect: sqlstore.PostgreSQL or sqlstore.SQLite. River does not support MariaDB. Nothing checks
	// that it is the database of the store: jobs are inserted by the store's transaction, and a
	// worker on another database does not find them. The host closes the database after Stop.
	Pool    *pgxpool.Pool
	DB      *sql.DB
	Dialect sqlstore.Dialect

	// SMTP is the URL of the mail server: smtp://user:password@host:port or smtps://.... The default
	// ports are 587 and 465. With a password, TLS is required, except on loopback; without one, TLS
	// is used if the server supports it. Default: no email.
	SMTP string

	// From is the sender of emails: an address, or "Name <address>". It is required with SMTP.
	From string

	// HelloHost is the host name that the worker sends to the mail server. Default: that of the
	// machine.
	HelloHost string

	// Secrets encrypt the emails in the queue. The first one encrypts, and all of them decrypt. Each
	// has at least 16 bytes. All processes need the same ones, and at least one is required with
	// SMTP. You can use those that sign the sessions, because the keys are derived from them.
	Secrets []string

	// Deliver sends a webhook: it is the method Deliver of a [webhook.Webhook]. If its error is a
	// webhook.ErrRejected, the webhook becomes a dead letter. After any other error it is retried.
	// The wait is then at least the After of a webhook.RetryError, or an hour if After is longer.
	// The text of the error is logged and stored, so it must not contain secrets. Deliver must
	// return when its context ends. It may be called concurrently, but not before Start. A delivery
	// does not name its pipeline, so give each pipeline with webhooks an outbox of its own, or let
	// Deliver find the pipeline by something of yours. Default: no webhooks.
	Deliver func(ctx context.Context, d webhook.Delivery) error

	// KeepDead is how long dead letters are kept. Default: 7 days.
	KeepDead time.Duration

	// RescueAfter is when a worker that still has a job is considered dead, and another one gets the
	// job. An attempt may take half of it. Default: 2 minutes.
	RescueAfter time.Duration

	// Logger logs each attempt. River's own records below Warn are left out, and so is a record of
	// River's whose message was logged within a minute. Default: slog.Default.
	Logger *slog.Logger
}

// keepDone is how long jobs that are done are kept.
const keepDone = time.Minute

func (o Options) logger() *slog.Logger { return cmp.Or(o.Logger, slog.Default()) }

func (o Options) rescueAfter() time.Duration { return cmp.Or(o.RescueAfter, 2*time.Minute) }

// sendsEmail reports whether an option is set that is only for email.
func (o Options) sendsEmail() bool { return o.SMTP != "" || o.From != "" || o.HelloHost != "" }

// checkEmail reports which of the options for email is missing.
func (o Options) checkEmail() error {
	switch {
	case o.SMTP == "" && o.From != "":
		return errors.New("outbox: Options.SMTP is empty, but Options.From is set; set both or neither")
	case o.SMTP == "":
		return errors.New("outbox: Options.SMTP is empty, but Options.HelloHost is set; set both or neither")
	case o.From == "":
		return errors.New("outbox: Options.From is missing; SMTP needs it")
	}
	return nil
}

// An Outbox stores emails and webhooks until a worker has sent them. [New] makes it. It is safe for
// concurrent use, and several processes may have one on one database.
type Outbox struct {
	queue    queue
	courier  *courier
	delivers bool
}

// New returns an outbox. It does not connect to anything, and it sends nothing before Start.
func New(o Options) (*Outbox, error) {
	out := &Outbox{delivers: o.Deliver != nil}
	if !o.sendsEmail() && !out.delivers {
		return nil, errors.New("outbox: there is nothing to send; set Options.SMTP, Options.Deliver or both")
	}
	mailer, hooks := &emailWorker{logger: o.logger()}, &webhookWorker{deliver: o.Deliver, logger: o.logger()}
	queues := map[string]river.QueueConfig{}
	if o.sendsEmail() {
		err := o.checkEmail()
		if err != nil {
			return nil, err
		}
		if mailer.server, err = newServer(o); err != nil {
			return nil, err
		}
		if out.courier, err = newCourier(o); err != nil {
			return nil, err
		}
		mailer.seal, mailer.from = out.courier.seal, out.courier.from
		queues[emailQueue] = river.QueueConfig{MaxWorkers: workers}
	}
	if out.delivers {
		queues[webhookQueue] = river.QueueConfig{MaxWorkers: workers}
	}
	// Both workers are always registered, because River discards the job of a dead worker if it does
	// not know its kind.
	registered := river.NewWorkers()
	river.AddWorker(registered, mailer)
	river.AddWorker(registered, hooks)
	keepDead := cmp.Or(o.KeepDead, 7*24*time.Hour)
	var err error
	out.queue, err = newQueue(o, &river.Config{
		Logger:                      o.riverLogger(),
		Queues:                      queues,
		Workers:                     registered,
		FetchCooldown:               20 * time.Millisecond,
		JobTimeout:                  o.rescueAfter() / 2,
		RescueStuckJobsAfter:        o.rescueAfter(),
		MaxAttempts:                 river.MaxAttemptsDefault, // 25 attempts within about three weeks
		CompletedJobRetentionPeriod: keepDone,
		CancelledJobRetentionPeriod: keepDead,
		DiscardedJobRetentionPeriod: keepDead,
	})
	if err != nil {
		return nil, err
	}
	if out.courier != nil {
		out.courier.queue = out.queue
	}
	return out, nil
}

// workers is how many emails, and how many webhooks, a process sends at a time. Each kind has its
// own workers, so that a receiver that hangs does not delay emails.
const workers = 8

// Courier returns the courier for [flowhook.Options], whose Outbox must be set. Its Send queues the
// email in the transaction that ctx carries. It returns an error if there is no transaction, if the
// transaction has failed, or if the message is invalid. Without Options.SMTP, Courier returns nil.
func (o *Outbox) Courier() flowhook.Courier {
	if o.courier == nil {
		return nil
	}
	return o.courier
}

// Webhooks queues a webhook; it is the function for webhook.Options.Outbox. It queues the webhook
// in the transaction that ctx carries, and returns an error if that has failed or has ended.
// Without a transaction, as at flowhook.Failed, the webhook is queued at once. Without
// Options.Deliver, Webhooks returns an error.
func (o *Outbox) Webhooks(ctx context.Context, d webhook.Delivery) error {
	if !o.delivers {
		return errors.New("outbox: a webhook, and nothing to send it with; set Options.Deliver")
	}
	j := webhookJob{Delivery: d}
	err := o.queue.insertTx(ctx, j)
	if errors.Is(err, errNoTransaction) {
		if inTransaction(ctx) {
			return errors.New("outbox: the transaction is that of another store; " +
				"set Options.Pool with a pgxstore, or Options.DB with a sqlstore")
		}
		_, err = o.queue.Insert(ctx, j, nil)
	}
	if err != nil {
		return fmt.Errorf("outbox: queueing a webhook: %w", unmigrated(err))
	}
	return nil
}

// Start starts the worker. It runs until Stop, even after ctx has ended. Call it after
// flowhook.New, because a webhook whose entry is not loaded yet fails, and is retried later.
func (o *Outbox) Start(ctx context.Context) error {
	if err := o.queue.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("outbox: starting the worker: %w", unmigrated(err))
	}
	return nil
}

// CancelTime is how long Stop waits for canceled jobs to be recorded as such.
const CancelTime = 2 * time.Second

// Stop starts no more jobs and waits until the running ones are done. If ctx ends first, Stop
// cancels them and returns the error of ctx within CancelTime. The next worker retries canceled
// jobs. What a server had already accepted is sent again, with the same ID.
func (o *Outbox) Stop(ctx context.Context) error {
	err := o.queue.Stop(ctx)
	if err == nil {
		return nil
	}
	canceling, cancel := context.WithTimeout(context.WithoutCancel(ctx), CancelTime)
	defer cancel()
	if o.queue.StopAndCancel(canceling) != nil {
		return fmt.Errorf("outbox: stopping the worker: it is still running: %w", err)
	}
	return fmt.Errorf("outbox: stopping the worker: %w", err)
}
