// Package mail is a mail server for development: an inbox that shows the service's email on web pages.
package mail

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	inboxMails    = 200
	inboxMailSize = 256 << 10
)

// An Inbox is an SMTP server for development. It accepts email to any address and shows it on web
// pages. It listens on loopback and keeps the last 200 emails in memory. It is safe for concurrent
// use.
type Inbox struct {
	listener net.Listener
	server   *smtp.Server
	served   chan struct{}

	mu    sync.Mutex
	last  int    // the ID of the newest email
	mails []Mail // oldest first
}

// OpenInbox starts an inbox on a free port. logger may be nil.
func OpenInbox(logger *slog.Logger) (*Inbox, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("mail: opening the inbox: %w", err)
	}
	in := &Inbox{listener: listener, served: make(chan struct{})}
	in.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &receiving{inbox: in},
			nil
	}))
	in.server.Domain = "localhost"
	in.server.MaxMessageBytes = inboxMailSize
	in.server.MaxRecipients = 20
	in.server.ReadTimeout, in.server.WriteTimeout = 30*time.Second, 30*time.Second
	in.server.EnableSMTPUTF8 = true
	logger = cmp.Or(logger, slog.Default())
	in.server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug) // broken connections
	go func() {
		defer close(in.served)
		if err := in.server.Serve(listener); err != nil {
			logger.Error("the inbox has stopped receiving email", "error", err)
		}
	}()
	return in, nil
}

// URL returns the URL of the inbox, for outbox.Options.
func (in *Inbox) URL() string { return "smtp://" + in.listener.Addr().String() }

// Mails returns the emails in the inbox, newest first.
func (in *Inbox) Mails() []Mail {
	in.mu.Lock()
	defer in.mu.Unlock()
	mails := slices.Clone(in.mails)
	slices.Reverse(mails)
	return mails
}

func (in *Inbox) mail(id int) (Mail, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if i := slices.IndexFunc(in.mails, func(m Mail) bool { return m.ID == id }); i >= 0 {
		return in.mails[i], true
	}
	return Mail{}, false
}

// Close stops the server and closes its connections. The emails remain readable.
func (in *Inbox) Close() error {
	err := in.server.Close()
	<-in.served
	return err
}

func (in *Inbox) receive(m Mail) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.last++
	m.ID = in.last
	in.mails = append(in.mails, m)
	if len(in.mails) > inboxMails {
		in.mails = slices.Delete(in.mails, 0, len(in.mails)-inboxMails)
	}
}

// receiving is the SMTP session of a connection.
type receiving struct {
	inbox *Inbox
	from  string
	to    []string
}

func (s *receiving) Reset()        { s.from, s.to = "", nil }
func (s *receiving) Logout() error { return nil }

func (s *receiving) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *receiving) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *receiving) Data(r io.Reader) error {
	data, err := io.ReadAll(r) // the server limits the size
	if err != nil {
		return err
	}
	m := parse(data)
	m.Received, m.From, m.To = time.Now(), s.from, slices.Clone(s.to)
	s.inbox.receive(m)
	return nil
}
