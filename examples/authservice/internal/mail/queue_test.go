package mail_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/examples/authservice/internal/mail"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

func TestACommittedMailIsDeliveredOnce(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		inbox, err := mail.OpenInbox(nil)
		require.NoError(t, err)
		defer inbox.Close()
		p := d.process(t, inbox.URL(), nil).migrate().start()
		m := message(1)
		p.send(m)
		eventually(t, "the job is completed", func() bool { return p.jobs("completed") == 1 })
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
		require.Contains(t, p.log.String(), "a mail was sent")
	})
}

func TestARolledBackTransactionLeavesNoJob(t *testing.T) {
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
		p.send(message(9999)) // nothing is in its way, and it is the only one
		eventually(t, "the job is completed", func() bool { return p.jobs("completed") == 1 })
		require.Len(t, inbox.Mails(), 1)
		t.Logf("%s: %d mails of transactions that rolled back: none was queued, none sent", d.dialect, n)
	})
}

func TestNoTransaction(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		p := d.process(t, "smtp://127.0.0.1:1", nil).migrate()
		require.ErrorContains(t, p.queue.Send(t.Context(), message(1)), "no open transaction")

		var kept context.Context
		require.NoError(t, p.store.Transaction(t.Context(), "a", func(ctx context.Context) error { kept = ctx; return nil }))
		require.Error(t, p.queue.Send(kept, message(1)), "the transaction has ended")

		// A statement fails, and its error is ignored: the store has rolled back, and what follows must not commit by itself.
		// On SQLite that is an error; on PostgreSQL the store undoes what is still done on the connection.
		err := p.store.Transaction(t.Context(), "a", func(ctx context.Context) error {
			s := flowhook.Session{ID: "twice", IdentityID: "a"}
			p.store.CreateSession(ctx, s)
			require.Error(t, p.store.CreateSession(ctx, s))
			if err := p.queue.Send(ctx, message(1)); d.dialect == sqlstore.SQLite {
				require.Error(t, err)
			}
			return nil
		})
		require.Error(t, err)
		require.Zero(t, p.jobs(""))

		// A statement of the host's own takes its whole transaction with it.
		err = p.store.Transaction(t.Context(), "a", func(ctx context.Context) error {
			tx, _ := sqlstore.Tx(ctx)
			narrow, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			slow := "SELECT pg_sleep(60)"
			if d.dialect == sqlstore.SQLite {
				slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) UPDATE flowhook_sessions SET id = id WHERE 0 < (SELECT count(*) FROM n)"
				_, err := tx.ExecContext(ctx, "INSERT INTO flowhook_sessions VALUES ('x', 'x', 0, 0, 0)")
				require.NoError(t, err)
			}
			_, err := tx.ExecContext(narrow, slow)
			require.Error(t, err)
			require.Error(t, p.queue.Send(ctx, message(1)))
			return nil
		})
		require.Error(t, err)
		require.Zero(t, p.jobs(""))
	})
}

func TestWhatCannotBeAMail(t *testing.T) {
	p := database{sqlstore.SQLite, t.TempDir() + "/test.db"}.process(t, "smtp://127.0.0.1:1", nil).migrate()
	for name, change := range map[string]func(m *flowhook.Message){
		"another way":                func(m *flowhook.Message) { m.Via = "sms" },
		"no recipient":               func(m *flowhook.Message) { m.To = "" },
		"two recipients":             func(m *flowhook.Message) { m.To = "a@example.org, b@example.org" },
		"a name":                     func(m *flowhook.Message) { m.To = "A <a@example.org>" },
		"a header in the recipient":  func(m *flowhook.Message) { m.To = "a@example.org\r\nBcc: b@example.org" },
		"a command in the recipient": func(m *flowhook.Message) { m.To = "a@example.org>\r\nRCPT TO:<b@example.org" },
		"a header in quotes":         func(m *flowhook.Message) { m.To = "\"a\r\nBcc: b@example.org\"@example.org" },
		"a comment":                  func(m *flowhook.Message) { m.To = "a@example.org (b@example.org)" },
		"a NUL":                      func(m *flowhook.Message) { m.To = "a\x00@example.org" },
		"no subject":                 func(m *flowhook.Message) { m.Subject = "" },
		"a header in the subject":    func(m *flowhook.Message) { m.Subject = "Hello\r\nBcc: b@example.org" },
		"a bare LF in the subject":   func(m *flowhook.Message) { m.Subject = "Hello\nBcc: b@example.org" },
		"a bare CR in the subject":   func(m *flowhook.Message) { m.Subject = "Hello\rBcc: b@example.org" },
		"no text":                    func(m *flowhook.Message) { m.Text = "" },
	} {
		t.Run(name, func(t *testing.T) {
			m := message(1)
			change(&m)
			err := p.store.Transaction(t.Context(), "a", func(ctx context.Context) error { return p.queue.Send(ctx, m) })
			require.Error(t, err)
			require.NotContains(t, err.Error(), "example.org")
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.Zero(t, p.jobs(""))
}

// What a mail says cannot become another header, another recipient, or the end of the mail.
func TestHostileTextStaysText(t *testing.T) {
	inbox, err := mail.OpenInbox(nil)
	require.NoError(t, err)
	defer inbox.Close()
	p := database{sqlstore.SQLite, t.TempDir() + "/test.db"}.process(t, inbox.URL(), nil).migrate().start()
	m := message(1)
	m.Subject = "=?utf-8?q?a=0D=0ABcc:_b@example.org?= " + strings.Repeat("long ", 300)
	m.Text = "Bcc: b@example.org\r\n\r\n.\r\nQUIT\r\n--flowhook.A--\r\n" + strings.Repeat("x", 5000) + "\n"
	p.send(m)
	eventually(t, "it arrives", func() bool { return len(inbox.Mails()) == 1 })
	got := inbox.Mails()[0]
	require.Equal(t, []string{m.To}, got.To)
	require.Empty(t, got.Header["Bcc"])
	require.Equal(t, strings.ReplaceAll(m.Text, "\r\n", "\n"), got.Text)
	require.NotContains(t, got.Header.Get("Subject"), "\n")
}

func TestOneThatIsPutOffComesLaterUnderTheSameMessageID(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{data: func(n int) error {
			if n == 1 {
				return answer(451, "user1@example.org: try again later, secret1")
			}
			return nil
		}})
		p := d.process(t, s.url, nil).migrate().start()
		p.send(message(1))
		eventually(t, "the job is completed", func() bool { return p.jobs("completed") == 1 })
		require.Len(t, s.ids(&s.taken), 1)
		ids := s.ids(&s.tried)
		require.Len(t, ids, 2)
		require.Equal(t, ids[0], ids[1])
		require.Equal(t, s.bytes[0], s.bytes[1], "the copies are the same to the byte")
		require.NotContains(t, p.log.String(), "user1")
		require.NotContains(t, p.log.String(), "secret1")
		require.Contains(t, p.log.String(), "451")
	})
}

// The server takes the mail, and the connection breaks before it can say so.
func TestABrokenConnectionIsNoRefusal(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{hangUp: func(n int) bool { return n == 1 }})
		p := d.process(t, s.url, nil).migrate().start()
		p.send(message(1))
		eventually(t, "the job is completed", func() bool { return p.jobs("completed") == 1 })
		ids := s.ids(&s.taken)
		require.Len(t, ids, 2, "nobody could know")
		require.Equal(t, ids[0], ids[1])
	})
}

// The server takes the mail, says so, and is gone before the worker has said goodbye.
func TestOneThatWasTakenIsNotSentAgain(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{rude: true})
		p := d.process(t, s.url, nil).migrate().start()
		p.send(message(1))
		eventually(t, "the job has been tried", func() bool { return p.jobs("completed")+p.jobs("retryable") == 1 })
		require.Equal(t, 1, p.jobs("completed"))
		require.Len(t, s.ids(&s.taken), 1)
	})
}

func TestSigningInToTheServer(t *testing.T) {
	s := newServer(t, &server{password: "opensesame"})
	host := strings.TrimPrefix(s.url, "smtp://")
	d := database{sqlstore.SQLite, t.TempDir() + "/test.db"}
	p := d.process(t, "smtp://relay:wrong@"+host, nil).migrate()
	require.NoError(t, p.queue.Start(t.Context()))
	p.send(message(1))
	eventually(t, "the job has been tried", func() bool { return strings.Contains(p.log.String(), "will be tried again") })
	require.NoError(t, p.queue.Stop(t.Context()))
	require.Contains(t, p.log.String(), "it answered 535")
	require.NotContains(t, p.log.String(), "wrong")
	require.Empty(t, s.ids(&s.tried))

	p = d.process(t, "smtp://relay:opensesame@"+host, nil).start() // as after a restart with the right one
	eventually(t, "the job is completed", func() bool { return p.jobs("completed") == 1 })
	require.NotContains(t, p.log.String(), "opensesame")
	require.Len(t, s.ids(&s.taken), 1)
}

func TestAServerThatCannotProveItsName(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil) // any server with a certificate that nobody has signed
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	url := "smtps://" + strings.TrimPrefix(srv.URL, "https://")
	p := database{sqlstore.SQLite, t.TempDir() + "/test.db"}.process(t, url, nil).migrate().start()
	p.send(message(1))
	eventually(t, "the job has been tried", func() bool { return strings.Contains(p.log.String(), "will be tried again") })
	require.Contains(t, p.log.String(), "certificate")
}

func TestAServerThatIsAwayIsWaitedFor(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		inbox, err := mail.OpenInbox(nil)
		require.NoError(t, err)
		p := d.process(t, inbox.URL(), nil).migrate().start()
		inbox.Close()
		p.send(message(1))
		eventually(t, "the job has been tried", func() bool { return strings.Contains(p.log.String(), "will be tried again") })
		require.Contains(t, p.log.String(), "connection refused")
		require.Zero(t, p.jobs("cancelled")+p.jobs("discarded"))
		require.Equal(t, 1, p.jobs(""))
	})
}

func TestARefusalForGoodEndsIt(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{
			rcpt: func(to string) error {
				if to == "user1@example.org" {
					return answer(550, "no such user: user1@example.org")
				}
				return nil
			},
			data: func(int) error {
				return answer(554, "https://service.example.org/verification?token=secret2 looks like spam")
			},
		})
		p := d.process(t, s.url, nil).migrate().start()
		p.send(message(1), message(2))
		eventually(t, "both jobs are cancelled", func() bool { return p.jobs("cancelled") == 2 })
		require.Len(t, s.ids(&s.tried), 1)
		log := p.log.String()
		require.Equal(t, 2, strings.Count(log, "level=ERROR"), log)
		require.Contains(t, log, "the server answered 550 5.7.1")
		require.Contains(t, log, "the server answered 554 5.7.1")
		for _, never := range []string{"user1", "user2", "secret", "spam"} {
			require.NotContains(t, log, never)
		}
		var stored string
		aggregate := "SELECT string_agg(CAST(errors AS text), ' ') FROM river_job"
		if d.dialect == sqlstore.SQLite {
			aggregate = "SELECT group_concat(CAST(errors AS text), ' ') FROM river_job"
		}
		require.NoError(t, p.o.DB.QueryRow(aggregate).Scan(&stored))
		require.NotContains(t, stored, "user1")
		require.NotContains(t, stored, "spam")
	})
}

func TestSeveralWorkersDeliverEachOnce(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{})
		p := d.process(t, s.url, nil).migrate()
		for range 3 {
			d.process(t, s.url, nil).start()
		}
		n := testkit.Times(t, 3000)
		for i := range n / 10 {
			var ten []flowhook.Message
			for j := range 10 {
				ten = append(ten, message(10*i+j))
			}
			p.send(ten...)
		}
		n = n / 10 * 10
		eventually(t, "all jobs are completed", func() bool { return p.jobs("completed") == p.jobs("") }) // some may be deleted already
		ids := s.ids(&s.taken)
		require.Len(t, ids, n)
		require.Len(t, distinct(ids), n)
		t.Logf("%s: %d mails, three workers: each was delivered once", d.dialect, n)
	})
}

func TestStopFinishesWhatIsRunning(t *testing.T) {
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
		case <-time.After(100 * time.Millisecond): // nothing to wait for: that it does not happen is what is seen
		}
		close(goOn)
		require.NoError(t, <-stopped)
		require.Equal(t, 1, p.jobs("completed"))
		require.Equal(t, 1, p.jobs("available"), "the second waits for the next worker")
		require.Len(t, s.ids(&s.taken), 1)
	})
}

func TestStopIsBounded(t *testing.T) {
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
		require.Zero(t, p.jobs("running"), "nothing is left to be rescued, and nothing uses the database any more")
		close(goOn)
		require.NoError(t, p.queue.Stop(t.Context()), "it goes on stopping")
	})
}

func TestOptionsAreChecked(t *testing.T) {
	d := database{sqlstore.SQLite, t.TempDir() + "/test.db"}
	good, closeAll, err := d.open()
	require.NoError(t, err)
	defer closeAll()
	good.SMTP, good.From = "smtp://127.0.0.1:25", "a@example.org"
	_, err = mail.Open(good)
	require.NoError(t, err)
	for _, smtp := range []string{"smtp://mail.example.org", "smtps://user:pass@mail.example.org:465/", "smtp://user%40example.org:p%2Fq@localhost:2525", "smtp://[::1]:25"} {
		o := good
		o.SMTP = smtp
		_, err := mail.Open(o)
		require.NoError(t, err, smtp)
	}
	for name, change := range map[string]func(o *mail.Options){
		"no server":           func(o *mail.Options) { o.SMTP = "" },
		"no host":             func(o *mail.Options) { o.SMTP = "smtp://:hunter2@" },
		"another scheme":      func(o *mail.Options) { o.SMTP = "http://user:hunter2@mail.example.org" },
		"a path":              func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org/x" },
		"a query":             func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org?x" },
		"no URL":              func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org:port" },
		"port 0":              func(o *mail.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org:0" },
		"no password":         func(o *mail.Options) { o.SMTP = "smtp://hunter2@mail.example.org" },
		"no sender":           func(o *mail.Options) { o.From = "" },
		"two senders":         func(o *mail.Options) { o.From = "a@hunter2.org, b@hunter2.org" },
		"MariaDB":             func(o *mail.Options) { o.Dialect = sqlstore.MariaDB },
		"PostgreSQL, no pool": func(o *mail.Options) { o.Dialect = sqlstore.PostgreSQL },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := mail.Open(o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
			if strings.Contains(name, "MariaDB") || strings.Contains(name, "pool") {
				require.Error(t, mail.Migrate(t.Context(), o))
			}
		})
	}
}
