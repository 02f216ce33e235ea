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

// A job is one mail, as it is stored. See the package's comment for what it means that it holds the link.
type job struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
	Salt    string `json:"salt"` // another database has the same job IDs
}

// Kind is River's name for what the job is.
func (job) Kind() string { return "mail" }

func newJob(m flowhook.Message) job {
	return job{To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML, Salt: rand.Text()}
}

// messageID is the same whenever the job is tried, and another for any other job anywhere: a receiver that gets the mail
// twice can tell.
func (j job) messageID(id int64, from *mail.Address) string {
	_, domain, _ := strings.Cut(from.Address, "@")
	return strings.ToLower(j.Salt) + "." + strconv.FormatInt(id, 10) + "@" + domain
}

var (
	errTo   = errors.New("mail: the recipient is not one plain address")
	errText = errors.New("mail: a mail needs a subject of one line and a text")
)

// mail makes the mail, of which every copy is the same.
func (j job) mail(from *mail.Address, messageID string, date time.Time) (*gomail.Msg, error) {
	to, err := mail.ParseAddress(j.To)
	if err != nil || to.Address != j.To {
		return nil, errTo
	}
	if j.Subject == "" || j.Text == "" || strings.ContainsFunc(j.Subject, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errText
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary("flowhook."+j.Salt))
	m.FromMailAddress(from)
	m.ToMailAddress(to)
	m.Subject(j.Subject)
	m.SetDateWithValue(date)
	m.SetMessageIDWithValue(messageID)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // no out-of-office replies, please (RFC 3834)
	m.SetBodyString(gomail.TypeTextPlain, j.Text)
	if j.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, j.HTML)
	}
	return m, nil
}

// A worker sends one mail after the other.
type worker struct {
	river.WorkerDefaults[job]
	server *gomail.Client
	from   *mail.Address
	logger *slog.Logger
}

// Work sends the mail. A refusal for good ends the job; after anything else River tries again. What it returns is logged
// and stored, so it says nothing that the server or the mail says.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	id := j.Args.messageID(j.ID, w.from)
	log := w.logger.With("job", j.ID, "message_id", id, "attempt", j.Attempt)
	m, err := j.Args.mail(w.from, id, j.CreatedAt)
	if err != nil {
		log.ErrorContext(ctx, "a mail cannot be made and is given up", "error", err)
		return river.JobCancel(err)
	}
	err = w.server.DialAndSendWithContext(ctx, m)
	switch {
	case m.IsDelivered():
		// The server has taken it. What went wrong afterwards, while saying goodbye, is no reason to send it again.
		log.InfoContext(ctx, "a mail was sent")
		return nil
	case err == nil:
		return errors.New("go-mail says neither that the mail was sent nor that it was not")
	case refused(err):
		log.ErrorContext(ctx, "a mail was refused for good and is given up", "error", describe(err))
		return river.JobCancel(errors.New(describe(err)))
	case j.Attempt >= j.MaxAttempts:
		log.ErrorContext(ctx, "a mail could not be sent for weeks and is given up", "error", describe(err))
	default:
		log.WarnContext(ctx, "a mail could not be sent and will be tried again", "error", describe(err))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", describe(err), ctx.Err()) // River wants to see that it was itself
	}
	return errors.New(describe(err))
}

// refused says whether the server has said no, for good, to this mail. IsTemp alone does not tell: it is false for a
// connection that broke, too. A no to the sender is about how the service is set up, which can be put right.
func refused(err error) bool {
	var e *gomail.SendError
	return errors.As(err, &e) && e.Reason != gomail.ErrSMTPMailFrom && e.ErrorCode() >= 500 && e.ErrorCode() < 600
}

// describe says what is known of a failure without the server's words, which may quote addresses.
func describe(err error) string {
	var (
		send *gomail.SendError
		said *textproto.Error
		cert *tls.CertificateVerificationError
		conn net.Error
	)
	switch {
	case errors.As(err, &send) && send.ErrorCode() != 0:
		return strings.TrimSpace(fmt.Sprintf("%s: the server answered %d %s", send.Reason, send.ErrorCode(), send.EnhancedStatusCode()))
	case errors.As(err, &send):
		return send.Reason.String() + ": the connection broke"
	case errors.As(err, &said):
		return fmt.Sprintf("connecting or signing in to the server: it answered %d", said.Code)
	case errors.As(err, &cert):
		return "connecting to the server: " + cert.Error()
	case errors.As(err, &conn):
		return "connecting to the server: " + conn.Error()
	}
	return fmt.Sprintf("connecting or signing in to the server: %T", err)
}
