package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/riverqueue/river"
	gomail "github.com/wneessen/go-mail"
)

// A job is an email as it is stored. It contains the link; see the package comment.
type job struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
	Salt    string `json:"salt"` // makes the Message-ID unique, because another database has the same job IDs
}

// Kind returns River's name for this kind of job.
func (job) Kind() string { return "mail" }

func newJob(m flowhook.Message) job {
	return job{To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML, Salt: rand.Text()}
}

// messageID returns the same ID for each attempt of the job, and another one for any other job. A
// recipient can recognize a duplicate.
func (j job) messageID(id int64, from *mail.Address) string {
	_, domain, _ := strings.Cut(from.Address, "@")
	return strings.ToLower(j.Salt) + "." + strconv.FormatInt(id, 10) + "@" + domain
}

var (
	errTo   = errors.New("mail: the recipient must be one plain address")
	errText = errors.New("mail: an email needs a one-line subject and a text")
)

// mail returns the email. It is identical for each attempt.
func (j job) mail(from *mail.Address, messageID string, date time.Time) (*gomail.Msg, error) {
	to, err := mail.ParseAddress(j.To)
	if err != nil || to.Address != j.To {
		return nil, errTo
	}
	if j.Subject == "" || j.Text == "" || strings.ContainsFunc(j.Subject, func(r rune) bool {
		return r < ' ' ||
			r == 0x7f
	}) {
		return nil, errText
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary("flowhook."+j.Salt))
	m.FromMailAddress(from)
	m.ToMailAddress(to)
	m.Subject(j.Subject)
	m.SetDateWithValue(date)
	m.SetMessageIDWithValue(messageID)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // asks for no automatic replies (RFC 3834)
	m.SetBodyString(gomail.TypeTextPlain, j.Text)
	if j.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, j.HTML)
	}
	return m, nil
}

// A worker sends emails.
type worker struct {
	river.WorkerDefaults[job]
	server *gomail.Client
	from   *mail.Address
	logger *slog.Logger
}

// Work sends the email. A permanent refusal cancels the job; after any other error River retries
// it. The error is logged and stored, so it quotes neither the server nor the email.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	id := j.Args.messageID(j.ID, w.from)
	log := w.logger.With("job", j.ID, "message_id", id, "attempt", j.Attempt)
	m, err := j.Args.mail(w.from, id, j.CreatedAt)
	if err != nil {
		log.ErrorContext(ctx, "an email is invalid and was given up", "error", err)
		return river.JobCancel(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- w.server.DialAndSendWithContext(ctx, m) }()
	select {
	case err = <-sent:
	case <-ctx.Done(): // go-mail may use m until its own timeout
		log.WarnContext(ctx, "sending an email was canceled; it will be retried")
		return fmt.Errorf("canceled: %w", ctx.Err())
	}
	switch {
	case m.IsDelivered():
		// The server has accepted it. An error after that, while closing the connection, is no
		// reason to send it again.
		log.InfoContext(ctx, "email sent")
		return nil
	case err == nil:
		return errors.New("go-mail reports neither success nor an error")
	case refused(err):
		log.ErrorContext(ctx, "an email was permanently refused and was given up", "error", describe(err))
		return river.JobCancel(errors.New(describe(err)))
	case j.Attempt >= j.MaxAttempts:
		log.ErrorContext(ctx, "an email could not be sent for weeks and was given up", "error", describe(err))
	default:
		log.WarnContext(ctx, "an email could not be sent and will be retried", "error", describe(err))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", describe(err), ctx.Err()) // River checks whether it caused the error
	}
	return errors.New(describe(err))
}

// refused reports whether the server permanently refused this email. IsTemp alone is not enough,
// because it is also false for a broken connection. A refusal of the sender is a configuration
// error, which can be fixed.
func refused(err error) bool {
	var e *gomail.SendError
	return errors.As(err, &e) && e.Reason != gomail.ErrSMTPMailFrom && e.ErrorCode() >= 500 && e.ErrorCode() < 600
}

// describe describes an error without quoting the server, whose texts may contain addresses.
func describe(err error) string {
	var (
		send *gomail.SendError
		said *textproto.Error
		cert *tls.CertificateVerificationError
		conn net.Error
	)
	switch {
	case errors.As(err, &send) && send.ErrorCode() != 0:
		return strings.TrimSpace(fmt.Sprintf("%s: the server answered %d %s",
			send.Reason, send.ErrorCode(), send.EnhancedStatusCode()))
	case errors.As(err, &send):
		return send.Reason.String() + ": connection lost"
	case errors.As(err, &said):
		return fmt.Sprintf("connecting or authenticating to the server: it answered %d", said.Code)
	case errors.As(err, &cert):
		return "connecting to the server: " + cert.Error()
	case errors.As(err, &conn):
		return "connecting to the server: " + conn.Error()
	}
	return fmt.Sprintf("connecting or authenticating to the server: %T", err)
}
