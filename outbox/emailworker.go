package outbox

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"net/textproto"
	"strings"

	"github.com/riverqueue/river"
	gomail "github.com/wneessen/go-mail"
)

// An emailWorker sends emails.
type emailWorker struct {
	river.WorkerDefaults[emailJob]
	server *gomail.Client
	from   *mail.Address
	seal   seal
	logger *slog.Logger
}

// Work sends the email. A permanent refusal makes it a dead letter; after any other error River
// retries it. The error is logged and stored, so it quotes neither the server nor the email.
func (w *emailWorker) Work(ctx context.Context, j *river.Job[emailJob]) error {
	log := w.logger.With("job", j.ID, "message_id", j.Args.ID, "attempt", j.Attempt)
	m, err := w.compose(j)
	switch {
	case errors.Is(err, errUnsealed): // the secret may come back
		log.ErrorContext(ctx, "an email could not be sent", "error", err)
		return err
	case err != nil:
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

// compose returns the email of a job.
func (w *emailWorker) compose(j *river.Job[emailJob]) (*gomail.Msg, error) {
	plain, err := w.seal.open(j.Args.ID, j.Args.Sealed)
	if err != nil {
		return nil, err
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return nil, errors.New("the content of the email is not JSON")
	}
	return c.compose(w.from, j.Args.ID, j.CreatedAt)
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
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connecting or authenticating to the server: it closed the connection"
	}
	return fmt.Sprintf("connecting or authenticating to the server: %T", err)
}
