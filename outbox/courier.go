package outbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/riverqueue/river"
	gomail "github.com/wneessen/go-mail"
)

// emailQueue is the name of River's queue for emails, and of their kind of job.
const emailQueue = "flowhook_email"

// An emailJob is an email as it is stored. See the package comment.
type emailJob struct {
	ID     string `json:"id"`     // the Message-ID
	Sealed []byte `json:"sealed"` // a content in JSON, encrypted
}

// Kind implements [river.JobArgs].
func (emailJob) Kind() string { return emailQueue }

// InsertOpts implements [river.JobArgsWithInsertOpts].
func (emailJob) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: emailQueue} }

// A courier queues emails.
type courier struct {
	from  *mail.Address
	seal  seal
	queue queue
}

func newCourier(o Options) (*courier, error) {
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, errors.New("outbox: Options.From must be an address or Name <address>")
	}
	seal, err := newSeal(o.Secrets)
	if err != nil {
		return nil, err
	}
	return &courier{from: from, seal: seal}, nil
}

// NeedsOutbox makes flowhook.New demand Options.Outbox. See [flowhook.Courier].
func (c *courier) NeedsOutbox() {}

// Send implements [flowhook.Courier]. See [Outbox.Courier].
func (c *courier) Send(ctx context.Context, m flowhook.Message) error {
	if m.Via != "email" {
		return fmt.Errorf("outbox: cannot send by %q, only by email", m.Via)
	}
	// The ID is unique, and it is stored, so that it is the same for each attempt, even if
	// Options.From changes.
	_, domain, _ := strings.Cut(c.from.Address, "@")
	id := strings.ToLower(rand.Text()) + "@" + domain
	email := content{To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML}
	if _, err := email.compose(c.from, id, time.Time{}); err != nil {
		return fmt.Errorf("outbox: %w", err) // report it to the caller, not later in the worker
	}
	plain, err := json.Marshal(email)
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	err = c.queue.insertTx(ctx, emailJob{ID: id, Sealed: c.seal.close(id, plain)})
	switch {
	case errors.Is(err, errNoTransaction):
		return fmt.Errorf("outbox: %w; set flowhook.Options.Outbox", err)
	case err != nil:
		return fmt.Errorf("outbox: queueing an email: %w", unmigrated(err))
	}
	return nil
}

// A content is what an email says, and to whom.
type content struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
}

var (
	errTo   = errors.New("the recipient must be one plain address")
	errText = errors.New("an email needs a one-line subject and a text")
)

// compose returns the email. It is identical for each attempt.
func (c content) compose(from *mail.Address, id string, date time.Time) (*gomail.Msg, error) {
	to, err := mail.ParseAddress(c.To)
	if err != nil || to.Address != c.To {
		return nil, errTo
	}
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if c.Subject == "" || c.Text == "" || strings.ContainsFunc(c.Subject, control) {
		return nil, errText
	}
	unique, _, _ := strings.Cut(id, "@")
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary("flowhook."+unique))
	m.FromMailAddress(from)
	m.ToMailAddress(to)
	m.Subject(c.Subject)
	m.SetDateWithValue(date)
	m.SetMessageIDWithValue(id)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // asks for no automatic replies (RFC 3834)
	m.SetBodyString(gomail.TypeTextPlain, c.Text)
	if c.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, c.HTML)
	}
	return m, nil
}
