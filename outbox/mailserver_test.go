package outbox_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	netmail "net/mail"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// A server is an SMTP server whose answers a test sets.
type server struct {
	url string
	// Each of these may be nil. rcpt returns the answer to a recipient, and data the answer to the
	// n-th email (from 1); with nil the email is accepted. hangUp is called after that. If it
	// returns true, the server closes the connection without an answer.
	rcpt   func(to string) error
	data   func(n int) error
	hangUp func(n int) bool

	rude     bool   // closes the connection after it has confirmed an email
	password string // required if set

	mu    sync.Mutex
	tried []*netmail.Message // all complete emails
	taken []*netmail.Message // the accepted ones
	bytes []string           // the raw emails in tried
}

func newServer(t *testing.T, s *server) *server {
	return s.listen(t, "127.0.0.1:0")
}

// listen starts the server at an address.
func (s *server) listen(t *testing.T, addr string) *server {
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	s.url = "smtp://" + l.Addr().String()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s,
			conn: c}, nil
	}))
	srv.Domain, srv.AllowInsecureAuth = "localhost", true
	srv.ErrorLog = log.New(io.Discard, "", 0) // broken connections are expected
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

// Reset is called after the answer to an email.
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
		return errors.New("connection closed")
	}
	return nil
}

func answer(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 7, 1}, Message: text}
}
