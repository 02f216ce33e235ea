package outbox_test

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
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// each runs a test with each store that an outbox works with.
func each(t *testing.T, test func(t *testing.T, d database)) {
	for name, open := range map[string]func(t *testing.T) database{
		"SQLite":                 onSQLite,
		"PostgreSQL with pgx":    func(t *testing.T) database { return onPostgreSQL(t, "pgx") },
		"PostgreSQL with sql.DB": func(t *testing.T) database { return onPostgreSQL(t, "sql") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// onPostgreSQL returns a database for a pgxstore ("pgx") or for a sqlstore ("sql").
func onPostgreSQL(t *testing.T, store string) database {
	if store == "pgx" {
		return database{"", testkit.PostgreSQL(t)}
	}
	return database{sqlstore.PostgreSQL, testkit.PostgreSQL(t)}
}

func onSQLite(t *testing.T) database {
	return database{sqlstore.SQLite, filepath.Join(t.TempDir(), "test.db")}
}

type database struct {
	Dialect sqlstore.Dialect // empty: a pgxstore
	Where   string
}

func (d database) schema() sqlstore.Dialect {
	if d.Dialect == "" {
		return sqlstore.PostgreSQL
	}
	return d.Dialect
}

// open opens the database as a separate process would. The options have the database.
func (d database) open() (o outbox.Options, db *sql.DB, err error) {
	switch d.Dialect {
	case "":
		pool, err := pgxpool.New(context.Background(), d.Where)
		if err != nil {
			return outbox.Options{}, nil, err
		}
		return outbox.Options{Pool: pool}, stdlib.OpenDBFromPool(pool), nil
	case sqlstore.SQLite:
		options := "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)" +
			"&_pragma=synchronous(NORMAL)"
		db, err = sql.Open("sqlite", "file:"+d.Where+options)
	default:
		db, err = sql.Open("pgx", d.Where)
	}
	return outbox.Options{DB: db, Dialect: d.Dialect}, db, err
}

func closeAll(o outbox.Options, db *sql.DB) {
	db.Close()
	if o.Pool != nil {
		o.Pool.Close()
	}
}

// store opens flowhook's store.
func (d database) store(o outbox.Options) (flowhook.Store, error) {
	if o.Pool != nil {
		return pgxstore.New(o.Pool)
	}
	return sqlstore.New(o.DB, d.Dialect)
}

const testSecret = "8d1fb4a01f6d7fd9ea2ec5ac1f60a9c3c1b0d1f9e7a84f25b6d3902ee15a77c4"

// A process is a process that uses an outbox.
type process struct {
	t      *testing.T
	d      database
	o      outbox.Options
	db     *sql.DB
	store  flowhook.Store
	outbox *outbox.Outbox
	log    *logged
}

// process opens an outbox that sends emails to the server at smtp and webhooks to the receiver at
// hooks, and does not start its worker. change may be nil.
func (d database) process(t *testing.T, smtp, hooks string, change func(o *outbox.Options)) *process {
	t.Helper()
	o, db, err := d.open()
	require.NoError(t, err)
	t.Cleanup(func() { closeAll(o, db) })
	p := &process{t: t, d: d, db: db, log: &logged{}}
	o.Logger = slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.RescueAfter = 8 * time.Second
	setEmail(&o, smtp)
	o.Deliver = deliverTo(hooks)
	if change != nil {
		change(&o)
	}
	p.o = o
	p.outbox, err = outbox.New(o)
	require.NoError(t, err)
	p.store, err = d.store(o)
	require.NoError(t, err)
	return p
}

func setEmail(o *outbox.Options, smtp string) {
	o.SMTP, o.From, o.HelloHost = smtp, "Service <service@example.org>", "test.example.org"
	o.Secrets = []string{testSecret}
}

// migrate creates all tables.
func (p *process) migrate() *process {
	p.t.Helper()
	p.migrateStore()
	require.NoError(p.t, outbox.Migrate(p.t.Context(), p.o))
	require.NoError(p.t, outbox.Migrate(p.t.Context(), p.o), "migrating twice must be possible")
	return p
}

// migrateStore creates flowhook's tables, and not those of River.
func (p *process) migrateStore() {
	p.t.Helper()
	g, err := goose.NewProvider(goose.Dialect(p.d.schema()), p.db, p.d.schema().Migrations(),
		goose.WithDisableGlobalRegistry(true))
	require.NoError(p.t, err)
	_, err = g.Up(p.t.Context())
	require.NoError(p.t, err)
}

// start starts the worker and stops it when the test ends.
func (p *process) start() *process {
	p.t.Helper()
	require.NoError(p.t, p.outbox.Start(p.t.Context()))
	p.t.Cleanup(func() { p.stop() })
	return p
}

func (p *process) stop() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(p.t, p.outbox.Stop(ctx))
}

func message(n int) flowhook.Message {
	link := fmt.Sprintf("https://service.example.org/verification?token=secret%d", n)
	return flowhook.Message{Via: "email", To: fmt.Sprintf("user%d@example.org", n),
		Subject: fmt.Sprintf("Größe %d", n), Link: link,
		Text: "Please open this link:\n\n" + link + "\n", HTML: `<p><a href="` + link + `">here</a></p>`}
}

func hook(n int) webhook.Delivery {
	return webhook.Delivery{ID: fmt.Sprintf("msg_%d", n), Hook: "crm", Body: fmt.Appendf(nil, `{"n":%d}`, n),
		ContentType: "application/json", Created: time.Now()}
}

// transaction runs fn in a transaction of the store.
func (p *process) transaction(fn func(ctx context.Context) error) error {
	return p.store.Transaction(p.t.Context(), "a", fn)
}

// queue queues messages and webhooks in one transaction.
func (p *process) queue(all ...any) {
	p.t.Helper()
	require.NoError(p.t, p.transaction(func(ctx context.Context) error { return p.queueIn(ctx, all...) }))
}

func (p *process) queueIn(ctx context.Context, all ...any) error {
	for _, one := range all {
		var err error
		switch one := one.(type) {
		case flowhook.Message:
			err = p.outbox.Courier().Send(ctx, one)
		case webhook.Delivery:
			err = p.outbox.Webhooks(ctx, one)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// jobs counts the jobs in a state or, if state is empty, all of them.
func (p *process) jobs(state string) (n int) {
	p.t.Helper()
	require.NoError(p.t, p.db.QueryRow("SELECT count(*) FROM river_job WHERE '"+state+"' IN (CAST(state AS text), "+
		"'')").Scan(&n))
	return n
}

// awaitCompleted waits until all jobs are done. Some may already be deleted.
func (p *process) awaitCompleted() {
	p.t.Helper()
	eventually(p.t, "all jobs to be completed", func() bool { return p.jobs("completed") == p.jobs("") })
}

// awaitLog waits for a text in the log.
func (p *process) awaitLog(text string) {
	p.t.Helper()
	eventually(p.t, text, func() bool { return strings.Contains(p.log.String(), text) })
}

func (p *process) exec(statement string) {
	p.t.Helper()
	_, err := p.db.Exec(statement)
	require.NoError(p.t, err)
}

// rows returns all that the queue's tables have, as text.
func (p *process) rows() string {
	p.t.Helper()
	rows, err := p.db.Query("SELECT * FROM river_job")
	require.NoError(p.t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(p.t, err)
	var all strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		require.NoError(p.t, rows.Scan(values...))
		for i, v := range values {
			value := *v.(*any)
			if b, ok := value.([]byte); ok {
				value = string(b)
			}
			fmt.Fprintf(&all, "%s=%v\n", columns[i], value)
		}
	}
	require.NoError(p.t, rows.Err())
	return all.String()
}

// eventually waits until holds returns true. what names it in the error.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
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
