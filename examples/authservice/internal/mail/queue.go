// Package mail sends the service's email and loses none. [Queue.Send] inserts a job in the caller's
// transaction, so the email exists only if the change it is about was saved. A worker sends it over
// SMTP and retries after errors. A worker may die after the server has accepted an email and before
// it has recorded that. Then the email is sent twice, with the same Message-ID. The queue and the
// worker use River.
//
// A job contains the whole email, with its link. flowhook's tables store only the hash of a token,
// but the queue must keep the link until the email is sent. Anyone who can read the table river_job
// or a backup can use such a link. So completed jobs are deleted after a minute, and links expire.
package mail

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// Options configures a queue.
type Options struct {
	// Either Pool or DB is the database of flowhook's store. River does not support MariaDB.
	Pool *pgxpool.Pool // on PostgreSQL, with a pgxstore
	DB   *sql.DB       // on SQLite, with a sqlstore

	// SMTP is the URL of the server: smtp://user:password@host:port or smtps://.... The default
	// ports are 587 and 465. With a password, TLS is required, except on loopback; without one, TLS
	// is used if the server supports it.
	SMTP string
	From string // the sender: an address, or "Name <address>"

	Logger      *slog.Logger  // default: slog.Default(); from River it gets only warnings and errors
	HelloHost   string        // the host name that the worker sends to the server; default: that of the machine
	RescueAfter time.Duration // a worker that has had a job for this long is considered dead; default: 2 minutes
}

const (
	keepDone   = time.Minute    // see the package comment
	keepFailed = 24 * time.Hour // for investigation; its links have expired after that
)

// Migrate creates or migrates River's tables. Only one process may call it at a time, so the caller
// must hold a lock. It uses Pool, DB and Logger.
func Migrate(ctx context.Context, o Options) error {
	switch {
	case (o.Pool == nil) == (o.DB == nil):
		return errDatabase
	case o.Pool != nil:
		return migrate(ctx, riverpgxv5.New(o.Pool), o.riverLogger())
	}
	return migrate(ctx, riversqlite.New(o.DB), o.riverLogger())
}

func migrate[Tx any](ctx context.Context, driver riverdriver.Driver[Tx], logger *slog.Logger) error {
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: logger})
	if err == nil {
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return fmt.Errorf("mail: migrating the queue: %w", err)
	}
	return nil
}

var errDatabase = errors.New("mail: set either Options.Pool, for PostgreSQL, or Options.DB, for SQLite")

func (o Options) logger() *slog.Logger { return cmp.Or(o.Logger, slog.Default()) }

// A Queue stores email until a worker has sent it. It is a [flowhook.Courier] for use with
// flowhook.Options.Outbox. It is safe for concurrent use, and several processes may have a queue on
// one database.
type Queue struct {
	from   *mail.Address
	insert func(ctx context.Context, j job) error
	worker interface { // a *river.Client, whose type depends on that of the transaction
		Start(ctx context.Context) error
		Stop(ctx context.Context) error
		StopAndCancel(ctx context.Context) error
	}
}

var _ flowhook.Courier = (*Queue)(nil)

// Open returns a queue. It does not connect to anything. The queue sends nothing before Start.
func Open(o Options) (*Queue, error) {
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, errors.New("mail: From must be an address or Name <address>")
	}
	server, err := newServer(o)
	if err != nil {
		return nil, err
	}
	rescue := cmp.Or(o.RescueAfter, 2*time.Minute)
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{server: server, from: from, logger: o.logger()})
	config := &river.Config{
		Logger:                      o.riverLogger(),
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}},
		Workers:                     workers,
		FetchCooldown:               20 * time.Millisecond,
		JobTimeout:                  rescue / 2,
		RescueStuckJobsAfter:        rescue,
		MaxAttempts:                 river.MaxAttemptsDefault, // 25 attempts within about three weeks
		CompletedJobRetentionPeriod: keepDone,
		CancelledJobRetentionPeriod: keepFailed,
		DiscardedJobRetentionPeriod: keepFailed,
	}
	q := &Queue{from: from}
	switch {
	case (o.Pool == nil) == (o.DB == nil):
		return nil, errDatabase
	case o.Pool != nil:
		client, err := river.NewClient(riverpgxv5.New(o.Pool), config)
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		q.worker, q.insert = client, func(ctx context.Context, j job) error { return insertPostgreSQL(ctx, client, j) }
	default:
		client, err := river.NewClient(riversqlite.New(o.DB), config)
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		q.worker, q.insert = client, func(ctx context.Context, j job) error { return insertSQLite(ctx, client, j) }
	}
	return q, nil
}

// errNoTransaction means that the email would be queued outside the transaction that it belongs to.
var errNoTransaction = errors.New("mail: the context carries no open transaction of the store; flowhook needs " +
	"Options.Outbox")

// Send queues m in the transaction that ctx carries. It returns an error if there is no
// transaction, if the transaction has failed, or if m is invalid.
func (q *Queue) Send(ctx context.Context, m flowhook.Message) error {
	if m.Via != "email" {
		return fmt.Errorf("mail: cannot send by %q, only by email", m.Via)
	}
	j := newJob(m)
	if _, err := j.mail(q.from, "", time.Time{}); err != nil {
		return err // report it to the caller, not later in the worker
	}
	return q.insert(ctx, j)
}

// Start starts the worker. It runs until Stop, even after ctx has ended.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.worker.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("mail: starting the worker: %w", err)
	}
	return nil
}

// CancelTime is how long Stop waits for canceled jobs to be recorded as such.
const CancelTime = 2 * time.Second

// Stop starts no more jobs and waits until the running ones are done. If ctx ends first, Stop
// cancels them and returns the error of ctx within CancelTime. The next worker retries canceled
// jobs. An email that the server had already accepted is sent twice, with the same Message-ID.
func (q *Queue) Stop(ctx context.Context) error {
	err := q.worker.Stop(ctx)
	if err == nil {
		return nil
	}
	canceling, cancel := context.WithTimeout(context.WithoutCancel(ctx), CancelTime)
	defer cancel()
	if q.worker.StopAndCancel(canceling) != nil {
		return fmt.Errorf("mail: stopping the worker: it is still running: %w", err)
	}
	return fmt.Errorf("mail: stopping the worker: %w", err)
}
