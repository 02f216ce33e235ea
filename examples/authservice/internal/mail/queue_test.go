package mail_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/examples/authservice/internal/mail"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

func TestQueue_Commit(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		inbox, err := mail.OpenInbox(nil)
		require.NoError(t, err)
		defer inbox.Close()
		p := d.process(t, inbox.URL(), nil).migrate().start()
		m := message(1)
		p.send(m)
		eventually(t, "the job to be completed", func() bool { return p.jobs("completed") == 1 })
		mails := inbox.Mails()
		require.Len(t, mails, 1)
		got := mails[0]
		require.Equal(t, []string{m.To}, got.To)
		require.Equal(t, "service@example.org", got.From)
		require.Equal(t, `"Service" <service@example.org>`, got.Header.Get("From"))
		require.Equal(t, "<"+m.To+">", got.Header.Get("To"))
		require.Equal(t, m.Subject, got.Subject)
		require.Equal(t, m.Text, got.Text)
		require.Equal(t, m.HTML, strings.TrimSpace(got.HTML))
		require.Equal(t, []string{m.Link}, got.Links)
		require.Regexp(t, `^[a-z2-7]{26}\.\d+@example\.org$`, got.MessageID())
		date, err := got.Header.Date()
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), date, time.Minute)

		require.NotContains(t, p.log.String(), m.To)
		require.NotContains(t, p.log.String(), "secret1")
		require.Contains(t, p.log.String(), "email sent")
	})
}

func TestQueue_Rollback(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		inbox, err := mail.OpenInbox(nil)
		require.NoError(t, err)
		defer inbox.Close()
		p := d.process(t, inbox.URL(), nil).migrate().start()
		no := errors.New("no")
		n := testkit.Times(t, 300)
		for i := range n {
			err := p.store.Transaction(t.Context(), "a", func(ctx context.Context) error {
				require.NoError(t, p.queue.Send(ctx, message(i)))
				return no
			})
			require.ErrorIs(t, err, no)
		}
		require.Zero(t, p.jobs(""))
		p.send(message(9999)) // the only email
		eventually(t, "the job to be completed", func() bool { return p.jobs("completed") == 1 })
		require.Len(t, inbox.Mails(), 1)
		t.Logf("%s: %d emails in transactions that were rolled back: none was queued or sent", d.dialect, n)
	})
}

func TestQueue_NoTransaction(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		p := d.process(t, "smtp://127.0.0.1:1", nil).migrate()
		require.ErrorContains(t, p.queue.Send(t.Context(), message(1)), "no open transaction")

		var kept context.Context
		require.NoError(t, p.store.Transaction(t.Context(), "a",
			func(ctx context.Context) error { kept = ctx; return nil }))
		require.Error(t, p.queue.Send(kept, message(1)), "the transaction has ended")

		// A statement fails, and its error is ignored. The store has rolled back, and later
		// statements must not commit on their own.
		err := p.store.Transaction(t.Context(), "a", func(ctx context.Context) error {
			sessions, s := p.store.(flowhook.SessionStore), flowhook.Session{ID: "twice", IdentityID: "a"}
			require.NoError(t, sessions.CreateSession(ctx, s))
			require.Error(t, sessions.CreateSession(ctx, s))
			require.Error(t, p.queue.Send(ctx, message(1)))
			return nil
		})
		require.Error(t, err)
		require.Zero(t, p.jobs(""))

		// A failed statement of the host rolls back the whole transaction.
		err = p.store.Transaction(t.Context(), "a", func(ctx context.Context) error {
			narrow, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			if tx, ok := pgxstore.Tx(ctx); ok {
				_, err := tx.Exec(narrow, "SELECT pg_sleep(60)")
				require.Error(t, err)
			} else {
				tx, _ := sqlstore.Tx(ctx)
				_, err := tx.ExecContext(ctx, "INSERT INTO flowhook_sessions VALUES ('x', 'x', 0, 0, 0)")
				require.NoError(t, err)
				_, err = tx.ExecContext(narrow, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "+
					"UPDATE flowhook_sessions SET id = id WHERE 0 < (SELECT count(*) FROM n)")
				require.Error(t, err)
			}
			require.Error(t, p.queue.Send(ctx, message(1)))
			return nil
		})
		require.Error(t, err)
		require.Zero(t, p.jobs(""))
	})
}

func TestQueue_InvalidMessage(t *testing.T) {
	p := database{sqlstore.SQLite, t.TempDir() + "/test.db"}.process(t, "smtp://127.0.0.1:1", nil).migrate()
	for name, change := range map[string]func(m *flowhook.Message){
		"other channel":            func(m *flowhook.Message) { m.Via = "sms" },
		"no recipient":             func(m *flowhook.Message) { m.To = "" },
		"two recipients":           func(m *flowhook.Message) { m.To = "a@example.org, b@example.org" },
		"display name":             func(m *flowhook.Message) { m.To = "A <a@example.org>" },
		"header in the recipient":  func(m *flowhook.Message) { m.To = "a@example.org\r\nBcc: b@example.org" },
		"command in the recipient": func(m *flowhook.Message) { m.To = "a@example.org>\r\nRCPT TO:<b@example.org" },
		"header in quotes":         func(m *flowhook.Message) { m.To = "\"a\r\nBcc: b@example.org\"@example.org" },
		"comment":                  func(m *flowhook.Message) { m.To = "a@example.org (b@example.org)" },
		"NUL":                      func(m *flowhook.Message) { m.To = "a\x00@example.org" },
		"no subject":               func(m *flowhook.Message) { m.Subject = "" },
		"header in the subject":    func(m *flowhook.Message) { m.Subject = "Hello\r\nBcc: b@example.org" },
		"bare LF in the subject":   func(m *flowhook.Message) { m.Subject = "Hello\nBcc: b@example.org" },
		"bare CR in the subject":   func(m *flowhook.Message) { m.Subject = "Hello\rBcc: b@example.org" },
		"no text":                  func(m *flowhook.Message) { m.Text = "" },
	} {
		t.Run(name, func(t *testing.T) {
			m := message(1)
			change(&m)
			err := p.store.Transaction(t.Context(), "a",
				func(ctx context.Context) error { return p.queue.Send(ctx, m) })
			require.Error(t, err)
			require.NotContains(t, err.Error(), "example.org")
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.Zero(t, p.jobs(""))
}

func TestStop_FinishesRunningJobs(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		arrived, goOn := make(chan struct{}), make(chan struct{})
		s := newServer(t, &server{data: func(int) error { close(arrived); <-goOn; return nil }})
		p := d.process(t, s.url, func(o *mail.Options) { o.RescueAfter = time.Minute }).migrate()
		require.NoError(t, p.queue.Start(t.Context()))
		p.send(message(1))
		<-arrived
		stopped := make(chan error)
		go func() { stopped <- p.queue.Stop(t.Context()) }()
		p.send(message(2))
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
		p := d.process(t, s.url, func(o *mail.Options) { o.RescueAfter = time.Minute }).migrate()
		require.NoError(t, p.queue.Start(t.Context()))
		p.send(message(1))
		<-arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.queue.Stop(ctx), context.Canceled)
		require.Zero(t, p.jobs("completed"))
		require.Zero(t, p.jobs("running"), "no job is left running, and nothing uses the database")
		close(goOn)
		require.NoError(t, p.queue.Stop(t.Context()), "a second Stop waits for the rest")
	})
}

func TestOpen_BadOptions(t *testing.T) {
	d := database{sqlstore.SQLite, t.TempDir() + "/test.db"}
	good, db, err := d.open()
	require.NoError(t, err)
	defer db.Close()
	good.SMTP, good.From = "smtp://127.0.0.1:25", "a@example.org"
	_, err = mail.Open(good)
	require.NoError(t, err)
	for _, smtp := range []string{"smtp://mail.example.org", "smtps://user:pass@mail.example.org:465/",
		"smtp://user%40example.org:p%2Fq@localhost:2525", "smtp://[::1]:25"} {
		o := good
		o.SMTP = smtp
		_, err := mail.Open(o)
		require.NoError(t, err, smtp)
	}
	for name, change := range map[string]func(o *mail.Options){
		"no server":     func(o *mail.Options) { o.SMTP = "" },
		"no host":       func(o *mail.Options) { o.SMTP = "smtp://:hunter2@" },
		"other scheme":  func(o *mail.Options) { o.SMTP = "http://user:hunter2@mail.example.org" },
		"path":          func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org/x" },
		"query":         func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org?x" },
		"no URL":        func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org:port" },
		"port 0":        func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org:0" },
		"no password":   func(o *mail.Options) { o.SMTP = "smtp://hunter2@mail.example.org" },
		"no sender":     func(o *mail.Options) { o.From = "" },
		"two senders":   func(o *mail.Options) { o.From = "a@hunter2.org, b@hunter2.org" },
		"no database":   func(o *mail.Options) { o.DB = nil },
		"two databases": func(o *mail.Options) { o.Pool = &pgxpool.Pool{} },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := mail.Open(o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
			if strings.Contains(name, "database") {
				require.Error(t, mail.Migrate(t.Context(), o))
			}
		})
	}
}
