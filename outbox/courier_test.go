package outbox_test

import (
	"context"
	"errors"
	"mime"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
	gomail "github.com/wneessen/go-mail"
)

func TestCourier_Commit(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{})
		p := d.process(t, s.url, "", nil).migrate().start()
		m := message(1)
		p.queue(m)
		p.awaitCompleted()
		require.Len(t, s.taken, 1)
		header := s.taken[0].Header
		require.Equal(t, `"Service" <service@example.org>`, header.Get("From"))
		require.Equal(t, "<"+m.To+">", header.Get("To"))
		require.Equal(t, "auto-generated", header.Get("Auto-Submitted"))
		require.Regexp(t, `^<[a-z2-7]{26}@example\.org>$`, header.Get("Message-ID"))
		date, err := header.Date()
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), date, time.Minute)
		subject, text, html := read(t, s.bytes[0])
		require.Equal(t, m.Subject, subject)
		require.Equal(t, m.Text, text)
		require.Equal(t, m.HTML, html)

		require.NotContains(t, p.log.String(), m.To)
		require.NotContains(t, p.log.String(), "secret1")
		require.Contains(t, p.log.String(), "email sent")
	})
}

// read parses a raw email.
func read(t *testing.T, raw string) (subject, text, html string) {
	m, err := gomail.EMLToMsgFromString(raw)
	require.NoError(t, err)
	var parts []string
	for _, part := range m.GetParts() {
		content, err := part.GetContent()
		require.NoError(t, err)
		parts = append(parts, strings.ReplaceAll(string(content), "\r\n", "\n"))
	}
	subject, err = new(mime.WordDecoder).DecodeHeader(m.GetGenHeader(gomail.HeaderSubject)[0])
	require.NoError(t, err)
	if len(parts) == 1 {
		parts = append(parts, "")
	}
	return subject, parts[0], parts[1]
}

// TestRollback checks that nothing is sent whose transaction was rolled back.
func TestRollback(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, r := newServer(t, &server{}), newReceiver(t, &receiver{})
		p := d.process(t, s.url, r.url, nil).migrate().start()
		no := errors.New("no")
		n := testkit.Times(t, 300)
		for i := range n {
			require.ErrorIs(t, p.transaction(func(ctx context.Context) error {
				require.NoError(t, p.queueIn(ctx, message(i), hook(i)))
				return no
			}), no)
		}
		require.Zero(t, p.jobs(""))
		p.queue(message(9999), hook(9999))
		p.awaitCompleted()
		require.Len(t, s.ids(&s.tried), 1)
		ids, _ := r.received()
		require.Equal(t, []string{"msg_9999"}, ids)
		t.Logf("%d emails and webhooks in transactions that were rolled back: none was queued or sent", n)
	})
}

// TestNoTransaction checks that nothing is queued outside of the transaction that it belongs to.
func TestNoTransaction(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		p := d.process(t, "smtp://127.0.0.1:1", "", nil).migrate()
		require.ErrorContains(t, p.outbox.Courier().Send(t.Context(), message(1)), "carries no transaction")

		var kept context.Context
		require.NoError(t, p.store.Transaction(t.Context(), "a",
			func(ctx context.Context) error { kept = ctx; return nil }))
		require.Error(t, p.outbox.Courier().Send(kept, message(1)), "the transaction has ended")
		require.Error(t, p.outbox.Webhooks(kept, hook(1)), "the transaction has ended")

		// A statement fails, and its error is ignored. The store has rolled back, and later
		// statements must not commit on their own.
		err := p.store.Transaction(t.Context(), "a", func(ctx context.Context) error {
			sessions, s := p.store.(flowhook.SessionStore), flowhook.Session{ID: "twice", IdentityID: "a"}
			require.NoError(t, sessions.CreateSession(ctx, s))
			require.Error(t, sessions.CreateSession(ctx, s))
			require.Error(t, p.outbox.Courier().Send(ctx, message(1)))
			require.Error(t, p.outbox.Webhooks(ctx, hook(1)))
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
			require.Error(t, p.outbox.Courier().Send(ctx, message(1)))
			require.Error(t, p.outbox.Webhooks(ctx, hook(1)))
			return nil
		})
		require.Error(t, err)
		require.Zero(t, p.jobs(""))
	})
}

func TestCourier_InvalidMessage(t *testing.T) {
	p := onSQLite(t).process(t, "smtp://127.0.0.1:1", "", nil).migrate()
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
				func(ctx context.Context) error { return p.outbox.Courier().Send(ctx, m) })
			require.Error(t, err)
			require.NotContains(t, err.Error(), "example.org")
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.Zero(t, p.jobs(""))
}
