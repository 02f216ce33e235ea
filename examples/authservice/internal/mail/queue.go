// Package mail sends the service's mail, and loses none. [Queue.Send] writes a job into the transaction that the caller is
// in: the mail exists exactly if what it is about was saved. A worker sends it by SMTP and tries again where that fails.
// A worker that dies after the server has taken a mail, and before it could note so, sends it twice, under the same
// Message-ID. Queue and worker are River's.
//
// A job holds the mail as it goes out, with its link. flowhook's tables know a link only by its hash, but the queue
// has to know it until the mail is sent: who can read the table river_job, or a copy of the database, can use what it finds
// there as the recipient could. So jobs that are done are deleted after a minute, and links have a lifespan.
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
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// Options say where the queue is and where mail goes.
type Options struct {
	DB      *sql.DB
	Dialect sqlstore.Dialect // PostgreSQL or SQLite; River knows no MariaDB
	Pool    *pgxpool.Pool    // PostgreSQL: for the worker, which listens, on the same database. nil with SQLite

	// SMTP is the server: smtp://user:password@host:port or smtps://..., with the ports 587 and 465 if none is said.
	// A password needs TLS, except on loopback; without one, TLS is used where the server has it.
	SMTP string
	From string // the sender: an address, or "Name <address>"

	Logger      *slog.Logger  // nil: slog.Default
	HelloHost   string        // how the worker introduces itself to the server; default: the machine's name
	RescueAfter time.Duration // a worker that had a job for so long is taken for dead; default: 2 minutes
}

const (
	keepDone   = time.Minute    // why: see the package's comment
	keepFailed = 24 * time.Hour // for somebody to look at; there is no point in keeping a link for longer than it is good
)

// Migrate makes River's tables, or brings them up to date. It is not for several processes at once: the caller holds a
// lock. It needs DB, Dialect, Pool and Logger.
func Migrate(ctx context.Context, o Options) error {
	switch o.Dialect {
	case sqlstore.PostgreSQL:
		if o.Pool == nil {
			return errPool
		}
		return migrate(ctx, riverpgxv5.New(o.Pool), o.logger())
	case sqlstore.SQLite:
		return migrate(ctx, riversqlite.New(o.DB), o.logger())
	}
	return unknown(o.Dialect)
}

func migrate[Tx any](ctx context.Context, driver riverdriver.Driver[Tx], logger *slog.Logger) error {
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: logger})
	if err == nil {
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return fmt.Errorf("mail: making the queue's tables: %w", err)
	}
	return nil
}

var errPool = errors.New("mail: on PostgreSQL the worker needs a pgxpool")

func unknown(d sqlstore.Dialect) error {
	return fmt.Errorf("mail: there is no queue on %q, but on %q and %q", d, sqlstore.PostgreSQL, sqlstore.SQLite)
}

func (o Options) logger() *slog.Logger { return cmp.Or(o.Logger, slog.Default()) }

// A Queue is where mail waits until a worker has sent it. It is a [flowhook.Courier], for flowhook.Options.Outbox. It is
// safe for concurrent use; several, in as many processes, may work on one database.
type Queue struct {
	from   *mail.Address
	insert func(ctx context.Context, j job) error
	worker interface { // River's client, which has the transaction's type in its own
		Start(ctx context.Context) error
		Stop(ctx context.Context) error
		StopAndCancel(ctx context.Context) error
	}
}

var _ flowhook.Courier = (*Queue)(nil)

// Open makes the queue. It connects to nothing, and sends nothing before Start.
func Open(o Options) (*Queue, error) {
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, errors.New("mail: From must be an address, or Name <address>")
	}
	server, err := newServer(o)
	if err != nil {
		return nil, err
	}
	rescue := cmp.Or(o.RescueAfter, 2*time.Minute)
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{server: server, from: from, logger: o.logger()})
	config := &river.Config{
		Logger:                      o.logger(),
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}},
		Workers:                     workers,
		FetchCooldown:               20 * time.Millisecond,
		JobTimeout:                  rescue / 2,
		RescueStuckJobsAfter:        rescue,
		MaxAttempts:                 river.MaxAttemptsDefault, // 25, later and later: the last after three weeks
		CompletedJobRetentionPeriod: keepDone,
		CancelledJobRetentionPeriod: keepFailed,
		DiscardedJobRetentionPeriod: keepFailed,
	}
	q := &Queue{from: from}
	switch o.Dialect {
	case sqlstore.PostgreSQL:
		if o.Pool == nil {
			return nil, errPool
		}
		client, err := river.NewClient(riverpgxv5.New(o.Pool), config)
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		q.worker, q.insert = client, func(ctx context.Context, j job) error { return insertPostgreSQL(ctx, client, j) }
	case sqlstore.SQLite:
		client, err := river.NewClient(riversqlite.New(o.DB), config)
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		q.worker, q.insert = client, func(ctx context.Context, j job) error { return insertSQLite(ctx, client, j) }
	default:
		return nil, unknown(o.Dialect)
	}
	return q, nil
}

// errNoTransaction says that a mail was to be queued where nothing would take it back if the rest failed.
var errNoTransaction = errors.New("mail: the context carries no open transaction of the store; flowhook needs Options.Outbox")

// Send queues m in the transaction that ctx carries. It is an error where there is none, where the transaction is broken
// already, or where m cannot be made into a mail.
func (q *Queue) Send(ctx context.Context, m flowhook.Message) error {
	if m.Via != "email" {
		return fmt.Errorf("mail: cannot send by %q, only by email", m.Via)
	}
	j := newJob(m)
	if _, err := j.mail(q.from, "", time.Time{}); err != nil {
		return err // now, and not when nobody is there to hear it
	}
	return q.insert(ctx, j)
}

// Start lets the worker begin. It goes on until Stop is called, also when ctx has ended.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.worker.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("mail: starting the worker: %w", err)
	}
	return nil
}

// Stop takes no further jobs and waits until those that are running are done. When ctx ends first, they are cancelled
// and Stop returns its error: what was not noted as sent will be sent again.
func (q *Queue) Stop(ctx context.Context) error {
	if err := q.worker.Stop(ctx); err != nil {
		q.worker.StopAndCancel(ctx) // it does not wait either
		return fmt.Errorf("mail: stopping the worker: %w", err)
	}
	return nil
}
