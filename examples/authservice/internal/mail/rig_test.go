package mail_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/examples/authservice/internal/mail"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// each runs a test on SQLite and on PostgreSQL.
func each(t *testing.T, test func(t *testing.T, d database)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, database{sqlstore.SQLite, filepath.Join(t.TempDir(), "test.db")})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, database{sqlstore.PostgreSQL, testkit.PostgreSQL(t)})
	})
}

type database struct {
	dialect sqlstore.Dialect
	where   string
}

// open opens the database as a separate process would. The options have the database.
func (d database) open() (o mail.Options, db *sql.DB, err error) {
	if d.dialect == sqlstore.SQLite {
		options := "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)" +
			"&_pragma=synchronous(NORMAL)"
		db, err := sql.Open("sqlite", "file:"+d.where+options)
		return mail.Options{DB: db}, db, err
	}
	pool, err := pgxpool.New(context.Background(), d.where)
	if err != nil {
		return mail.Options{}, nil, err
	}
	return mail.Options{Pool: pool}, stdlib.OpenDBFromPool(pool), nil
}

func closeAll(o mail.Options, db *sql.DB) {
	db.Close()
	if o.Pool != nil {
		o.Pool.Close()
	}
}

// store opens flowhook's store.
func (d database) store(o mail.Options) (flowhook.Store, error) {
	if o.Pool != nil {
		return pgxstore.New(o.Pool)
	}
	return sqlstore.New(o.DB, d.dialect)
}

// A process is a process that uses the queue.
type process struct {
	t     *testing.T
	d     database
	o     mail.Options
	db    *sql.DB
	store flowhook.Store
	queue *mail.Queue
	log   *logged
}

// process opens a queue that sends to the server at url, and does not start its worker. change may
// be nil.
func (d database) process(t *testing.T, url string, change func(o *mail.Options)) *process {
	t.Helper()
	o, db, err := d.open()
	require.NoError(t, err)
	t.Cleanup(func() { closeAll(o, db) })
	p := &process{t: t, d: d, db: db, log: &logged{}}
	o.SMTP, o.From, o.Logger, o.HelloHost, o.RescueAfter = url, "Service "+
		"<service@example.org>", slog.New(slog.NewTextHandler(p.log,
		&slog.HandlerOptions{Level: slog.LevelDebug})), "test.example.org", 8*time.Second
	if change != nil {
		change(&o)
	}
	p.o = o
	p.queue, err = mail.Open(o)
	require.NoError(t, err)
	p.store, err = d.store(o)
	require.NoError(t, err)
	return p
}

// migrate creates all tables.
func (p *process) migrate() *process {
	p.t.Helper()
	g, err := goose.NewProvider(goose.Dialect(p.d.dialect), p.db, p.d.dialect.Migrations(),
		goose.WithDisableGlobalRegistry(true))
	require.NoError(p.t, err)
	_, err = g.Up(p.t.Context())
	require.NoError(p.t, err)
	require.NoError(p.t, mail.Migrate(p.t.Context(), p.o))
	require.NoError(p.t, mail.Migrate(p.t.Context(), p.o), "migrating twice must be possible")
	return p
}

// start starts the worker and stops it when the test ends.
func (p *process) start() *process {
	p.t.Helper()
	require.NoError(p.t, p.queue.Start(p.t.Context()))
	p.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(p.t, p.queue.Stop(ctx))
	})
	return p
}

func message(n int) flowhook.Message {
	link := fmt.Sprintf("https://service.example.org/verification?token=secret%d", n)
	return flowhook.Message{Via: "email", To: fmt.Sprintf("user%d@example.org", n),
		Subject: fmt.Sprintf("Größe %d", n), Link: link,
		Text: "Please open this link:\n\n" + link + "\n", HTML: `<p><a href="` + link + `">here</a></p>`}
}

func (p *process) send(messages ...flowhook.Message) {
	p.t.Helper()
	require.NoError(p.t, p.store.Transaction(p.t.Context(), "a", func(ctx context.Context) error {
		for _, m := range messages {
			if err := p.queue.Send(ctx, m); err != nil {
				return err
			}
		}
		return nil
	}))
}

// jobs counts the jobs in a state or, if state is empty, all of them.
func (p *process) jobs(state string) (n int) {
	p.t.Helper()
	require.NoError(p.t, p.db.QueryRow("SELECT count(*) FROM river_job WHERE '"+state+"' IN (CAST(state AS text), "+
		"'')").Scan(&n))
	return n
}

// eventually waits until holds returns true. what names it in the error.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("timed out waiting for " + what)
		}
	}
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func distinct(ids []string) map[string]int {
	n := map[string]int{}
	for _, id := range ids {
		n[strings.TrimSpace(id)]++
	}
	return n
}
