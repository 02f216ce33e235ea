// Package inbox is a mail server for development and tests. It shows the email that a service sends
// on web pages, to everyone who can open them, and delivers none of it.
//
// It listens on a loopback address, and its pages refuse requests from other machines.
package inbox

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
	maxEmails = 200
	maxSize   = 256 << 10
)

// An Inbox is an SMTP server that accepts email from anyone on this machine to any address. It keeps
// the last 200 emails in memory. It refuses an email of more than 256 KiB or to more than 20
// recipients. It is safe for concurrent use.
type Inbox struct {
	listener net.Listener
	server   *smtp.Server
	served   chan struct{}

	mu     sync.Mutex
	last   int     // the ID of the newest email
	emails []Email // oldest first
}

// Open starts an inbox on a free port. It runs until Close. The default logger is slog.Default().
func Open(logger *slog.Logger) (*Inbox, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	in := &Inbox{listener: listener, served: make(chan struct{})}
	in.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &receiving{inbox: in}, nil
	}))
	in.server.Domain = "localhost"
	in.server.MaxMessageBytes = maxSize
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

// URL returns the URL of the mail server, such as smtp://127.0.0.1:12345.
func (in *Inbox) URL() string { return "smtp://" + in.listener.Addr().String() }

// Emails returns the emails in the inbox, newest first.
func (in *Inbox) Emails() []Email {
	in.mu.Lock()
	defer in.mu.Unlock()
	emails := slices.Clone(in.emails)
	slices.Reverse(emails)
	return emails
}

func (in *Inbox) email(id int) (Email, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if i := slices.IndexFunc(in.emails, func(e Email) bool { return e.ID == id }); i >= 0 {
		return in.emails[i], true
	}
	return Email{}, false
}

// Close stops the server and closes its connections. The emails remain readable.
func (in *Inbox) Close() error {
	err := in.server.Close()
	in.listener.Close() // the server may not know it yet; then Serve would wait for connections forever
	<-in.served
	return err
}

func (in *Inbox) receive(e Email) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.last++
	e.ID = in.last
	in.emails = append(in.emails, e)
	if len(in.emails) > maxEmails {
		in.emails = slices.Delete(in.emails, 0, len(in.emails)-maxEmails)
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
	e := parse(data)
	e.Received, e.From, e.To = time.Now(), s.from, slices.Clone(s.to)
	s.inbox.receive(e)
	return nil
}
