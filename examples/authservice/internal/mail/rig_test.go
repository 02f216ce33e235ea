package mail_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	netmail "net/mail"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/examples/authservice/internal/mail"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

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

// open connects as a process of its own would.
func (d database) open() (o mail.Options, closeAll func(), err error) {
	if d.dialect == sqlstore.SQLite {
		db, err := sql.Open("sqlite", "file:"+d.where+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
		return mail.Options{DB: db, Dialect: d.dialect}, func() { db.Close() }, err
	}
	pool, err := pgxpool.New(context.Background(), d.where)
	if err != nil {
		return mail.Options{}, nil, err
	}
	db, err := sql.Open("pgx", d.where)
	return mail.Options{DB: db, Dialect: d.dialect, Pool: pool}, func() { db.Close(); pool.Close() }, err
}

// A process is one that uses the queue.
type process struct {
	t     *testing.T
	o     mail.Options
	store *sqlstore.Store
	queue *mail.Queue
	log   *logged
}

// process opens a queue, without a worker, that sends to the server at url. change may be nil.
func (d database) process(t *testing.T, url string, change func(o *mail.Options)) *process {
	t.Helper()
	o, closeAll, err := d.open()
	require.NoError(t, err)
	t.Cleanup(closeAll)
	p := &process{t: t, log: &logged{}}
	o.SMTP, o.From, o.Logger, o.HelloHost, o.RescueAfter = url, "Service <service@example.org>", slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})), "test.example.org", 8*time.Second
	if change != nil {
		change(&o)
	}
	p.o = o
	p.queue, err = mail.Open(o)
	require.NoError(t, err)
	p.store, err = sqlstore.New(o.DB, o.Dialect)
	require.NoError(t, err)
	return p
}

// migrate makes all tables.
func (p *process) migrate() *process {
	p.t.Helper()
	g, err := goose.NewProvider(goose.Dialect(p.o.Dialect), p.o.DB, p.o.Dialect.Migrations(), goose.WithDisableGlobalRegistry(true))
	require.NoError(p.t, err)
	_, err = g.Up(p.t.Context())
	require.NoError(p.t, err)
	require.NoError(p.t, mail.Migrate(p.t.Context(), p.o))
	require.NoError(p.t, mail.Migrate(p.t.Context(), p.o), "the second process to start")
	return p
}

// start starts the worker, and stops it when the test is over.
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
	return flowhook.Message{Via: "email", To: fmt.Sprintf("user%d@example.org", n), Subject: fmt.Sprintf("Größe %d", n), Link: link,
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

// jobs counts those in a state, or all of them.
func (p *process) jobs(state string) (n int) {
	p.t.Helper()
	require.NoError(p.t, p.o.DB.QueryRow("SELECT count(*) FROM river_job WHERE '"+state+"' IN (CAST(state AS text), '')").Scan(&n))
	return n
}

// eventually waits until something holds that another goroutine or process brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

// logged is what was logged.
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

// A server is an SMTP server that says what the test wants.
type server struct {
	url string
	// Each may be nil. They say what the server answers: to a recipient, to the n-th mail (from 1) when it has been
	// received whole and is among those taken if nil comes back; hangUp is called behind that.
	rcpt   func(to string) error
	data   func(n int) error
	hangUp func(n int) bool

	rude     bool   // hangs up when it has said that it took the mail
	password string // nobody sends without it

	mu    sync.Mutex
	tried []*netmail.Message // all that came in whole
	taken []*netmail.Message // those that the server is responsible for
	bytes []string           // of tried
}

func newServer(t *testing.T, s *server) *server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.url = "smtp://" + l.Addr().String()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{server: s, conn: c}, nil }))
	srv.Domain, srv.AllowInsecureAuth = "localhost", true
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return s
}

func (s *server) ids(of *[]*netmail.Message) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range *of {
		ids = append(ids, m.Header.Get("Message-ID"))
	}
	return ids
}

type session struct {
	*server
	conn *smtp.Conn
	in   bool // signed in
}

func (s *session) AuthMechanisms() []string {
	if s.password == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if s.in = username == "relay" && password == s.password; !s.in {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

// Reset is called behind the answer to a mail.
func (s *session) Reset() {
	if s.rude {
		s.conn.Conn().Close()
	}
}

func (s *session) Logout() error { return nil }

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.password != "" && !s.in {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.rcpt == nil {
		return nil
	}
	return s.rcpt(to)
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.tried, s.bytes = append(s.tried, m), append(s.bytes, string(data))
	n := len(s.tried)
	s.mu.Unlock()
	if s.data != nil {
		if err := s.data(n); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.taken = append(s.taken, m)
	s.mu.Unlock()
	if s.hangUp != nil && s.hangUp(n) {
		s.conn.Conn().Close()
		return errors.New("gone")
	}
	return nil
}

func answer(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 7, 1}, Message: text}
}

func distinct(ids []string) map[string]int {
	n := map[string]int{}
	for _, id := range ids {
		n[strings.TrimSpace(id)]++
	}
	return n
}
