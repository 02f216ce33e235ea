package outbox_test

import (
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCourier_HostileText checks that the text of an email cannot become a header, a recipient, or
// the end of the email.
func TestCourier_HostileText(t *testing.T) {
	s := newServer(t, &server{})
	p := onSQLite(t).process(t, s.url, "", nil).migrate().start()
	m := message(1)
	m.Subject = "=?utf-8?q?a=0D=0ABcc:_b@example.org?= " + strings.Repeat("long ", 300)
	m.Text = "Bcc: b@example.org\r\n\r\n.\r\nQUIT\r\n--flowhook.A--\r\n" + strings.Repeat("x", 5000) + "\n"
	p.queue(m)
	p.awaitCompleted()
	require.Len(t, s.taken, 1)
	header := s.taken[0].Header
	require.Equal(t, "<"+m.To+">", header.Get("To"))
	require.Empty(t, header["Bcc"])
	_, text, _ := read(t, s.bytes[0])
	require.Equal(t, strings.ReplaceAll(m.Text, "\r\n", "\n"), text)
	require.NotContains(t, header.Get("Subject"), "\n")
}

func TestCourier_TemporaryRefusal(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{data: func(n int) error {
			if n == 1 {
				return answer(451, "user1@example.org: try again later, secret1")
			}
			return nil
		}})
		p := d.process(t, s.url, "", nil).migrate().start()
		p.queue(message(1))
		eventually(t, "the job to be completed", func() bool { return p.jobs("completed") == 1 })
		require.Len(t, s.ids(&s.taken), 1)
		ids := s.ids(&s.tried)
		require.Len(t, ids, 2)
		require.Equal(t, ids[0], ids[1])
		require.Equal(t, s.bytes[0], s.bytes[1], "the copies must be identical")
		require.NotContains(t, p.log.String(), "user1")
		require.NotContains(t, p.log.String(), "secret1")
		require.Contains(t, p.log.String(), "451")
	})
}

// TestCourier_ConnectionLost checks that an email is retried if the connection breaks before the
// server confirms it.
func TestCourier_ConnectionLost(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{hangUp: func(n int) bool { return n == 1 }})
		p := d.process(t, s.url, "", nil).migrate().start()
		p.queue(message(1))
		eventually(t, "the job to be completed", func() bool { return p.jobs("completed") == 1 })
		ids := s.ids(&s.taken)
		require.Len(t, ids, 2, "the worker cannot know that the server has accepted it")
		require.Equal(t, ids[0], ids[1])
	})
}

// TestCourier_ConnectionLostAfterDelivery checks that an email is not sent again if the connection
// breaks after the server has confirmed it.
func TestCourier_ConnectionLostAfterDelivery(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{rude: true})
		p := d.process(t, s.url, "", nil).migrate().start()
		p.queue(message(1))
		eventually(t, "the job to be attempted", func() bool { return p.jobs("completed")+p.jobs("retryable") == 1 })
		require.Equal(t, 1, p.jobs("completed"))
		require.Len(t, s.ids(&s.taken), 1)
	})
}

// TestCourier_HangUp checks what the log says if the server accepts a connection and closes it.
func TestCourier_HangUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	p := onSQLite(t).process(t, "smtp://"+l.Addr().String(), "", nil).migrate().start()
	p.queue(message(1))
	p.awaitLog("will be retried")
	require.Contains(t, p.log.String(), "it closed the connection")
}

func TestCourier_Authentication(t *testing.T) {
	s := newServer(t, &server{password: "opensesame"})
	host := strings.TrimPrefix(s.url, "smtp://")
	d := onSQLite(t)
	p := d.process(t, "smtp://relay:wrong@"+host, "", nil).migrate()
	require.NoError(t, p.outbox.Start(t.Context()))
	p.queue(message(1))
	p.awaitLog("will be retried")
	require.NoError(t, p.outbox.Stop(t.Context()))
	require.Contains(t, p.log.String(), "it answered 535")
	require.NotContains(t, p.log.String(), "wrong")
	require.Empty(t, s.ids(&s.tried))

	p = d.process(t, "smtp://relay:opensesame@"+host, "", nil).start() // a restart with the right password
	eventually(t, "the job to be completed", func() bool { return p.jobs("completed") == 1 })
	require.NotContains(t, p.log.String(), "opensesame")
	require.Len(t, s.ids(&s.taken), 1)
}

func TestCourier_UntrustedCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil) // any server with a self-signed certificate
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	url := "smtps://" + strings.TrimPrefix(srv.URL, "https://")
	p := onSQLite(t).process(t, url, "", nil).migrate().start()
	p.queue(message(1))
	p.awaitLog("will be retried")
	require.Contains(t, p.log.String(), "certificate")
}

func TestCourier_PermanentRefusal(t *testing.T) {
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
		p := d.process(t, s.url, "", nil).migrate().start()
		p.queue(message(1), message(2))
		eventually(t, "both jobs to be canceled", func() bool { return p.jobs("cancelled") == 2 })
		require.Len(t, s.ids(&s.tried), 1)
		log := p.log.String()
		require.Equal(t, 2, strings.Count(log, "level=ERROR"), log)
		require.Contains(t, log, "the server answered 550 5.7.1")
		require.Contains(t, log, "the server answered 554 5.7.1")
		for _, never := range []string{"user1", "user2", "secret", "spam"} {
			require.NotContains(t, log, never)
		}
		stored := p.rows()
		require.NotContains(t, stored, "user1")
		require.NotContains(t, stored, "spam")
	})
}
