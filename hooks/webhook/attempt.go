package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

const maxResponse = 64 << 10

// attempt sends a delivery once. It returns the body of a successful answer, a *RetryError, or a
// *rejection.
func (h *hook) attempt(ctx context.Context, d Delivery) (body []byte, err error) {
	req, err := h.request(ctx, d)
	if err != nil {
		return nil, &rejection{problem: err.Error()}
	}
	res, err := h.webhook.client.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer res.Body.Close()
	status := res.StatusCode
	if status < 200 { // 101: the connection is the caller's now, and no context ends a read
		return nil, &rejection{status: status, problem: "a change of the protocol; answer with a final status"}
	}
	if res.Body != http.NoBody {
		body, err = io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	}
	if err == nil { // a receiver may end its answer just because the deadline closed the connection
		err = ctx.Err()
	}
	switch {
	case isNo(status): // whatever becomes of the text
		if err != nil || len(body) > maxResponse {
			body = nil
		}
		return nil, &rejection{status: status, body: body}
	case err != nil:
		return nil, unreachable(err)
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, 500 <= status && status <= 599:
		after := retryAfter(res.Header.Get("Retry-After"), h.webhook.now())
		return nil, &RetryError{After: after, Err: fmt.Errorf("webhook: the receiver answered %d", status)}
	case len(body) > maxResponse:
		return nil, &rejection{problem: "the answer has more than 64 KiB"}
	case 300 <= status && status <= 399:
		return nil, &rejection{status: status, problem: "a redirect, which is never followed; correct the url"}
	case status < 200 || status > 299:
		return nil, &rejection{status: status, body: body}
	}
	return body, nil
}

// isNo reports whether a status means that the receiver has said no.
func isNo(status int) bool {
	return 400 <= status && status <= 499 &&
		status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}

// request returns the signed request of one attempt.
func (h *hook) request(ctx context.Context, d Delivery) (*http.Request, error) {
	req := h.blank.WithContext(ctx)
	now := h.webhook.now()
	signatures := ""
	for _, signer := range h.signers {
		signature, err := signer.Sign(d.ID, now, d.Body)
		if err != nil {
			return nil, errors.New("the request cannot be signed")
		}
		if signatures != "" {
			signatures += " "
		}
		signatures += signature
	}
	// These names are in their canonical form, and one array has all the values.
	values := [...]string{d.ID, strconv.FormatInt(now.Unix(), 10), signatures, d.ContentType}
	header := make(http.Header, len(h.header)+len(values)+len(d.Forwarded)+1)
	for _, name := range h.forwards {
		if forwarded := d.Forwarded[name]; len(forwarded) > 0 {
			header[name] = forwarded
		}
	}
	maps.Copy(header, h.header) // the entry's own win
	header["Webhook-Id"], header["Webhook-Timestamp"] = values[0:1:1], values[1:2:2]
	if signatures != "" {
		header["Webhook-Signature"] = values[2:3:3]
	}
	if d.Body != nil {
		req.Body = io.NopCloser(bytes.NewReader(d.Body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(d.Body)), nil }
		req.ContentLength = int64(len(d.Body))
		header["Content-Type"] = values[3:4:4]
	}
	req.Header = header
	return req, nil
}

const maxRetryAfter = 24 * time.Hour

// retryAfter returns the value of a Retry-After header, RFC 9110, section 10.2.3, at most a day, or
// 0 if there is none.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// A failure has a text of our own. The text of the error that it wraps may quote the URL or what
// the receiver sent.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return "webhook: " + f.text }

func (f *failure) Unwrap() error { return f.err }

// An unavailable is ErrUnavailable with its cause.
type unavailable struct{ cause error }

// Error has the prefix of the package once.
func (u *unavailable) Error() string {
	return ErrUnavailable.Error() + ": " + strings.TrimPrefix(u.cause.Error(), "webhook: ")
}

func (u *unavailable) Unwrap() []error { return []error{ErrUnavailable, u.cause} }

// unreachable returns the error of a request without a complete answer. Another attempt does not
// help if the network is not allowed.
func unreachable(err error) error {
	f := &failure{"the request failed", err}
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var number syscall.Errno
	var timeout net.Error
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP):
		f.text = "the host is in a private or reserved network; add the network to webhook.Options.Allow"
		return &rejection{problem: f.text, err: err}
	case errors.Is(err, ssrf.ErrProhibitedPort), errors.Is(err, ssrf.ErrProhibitedNetwork):
		f.text = "the port is not in webhook.Options.Ports"
		return &rejection{problem: f.text, err: err}
	case errors.As(err, &certificate):
		f.text = "the receiver's certificate is not valid"
	case errors.As(err, &name) && name.IsNotFound:
		f.text = "the host has no address"
	case errors.Is(err, context.Canceled):
		f.text = "the request was canceled"
	case errors.As(err, &timeout) && timeout.Timeout():
		f.text = "no answer in time"
	case errors.As(err, &name):
		f.text = "the host could not be looked up"
	case errors.As(err, &number):
		f.text = number.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.text = "the connection ended before the answer did"
	}
	return &RetryError{Err: f}
}
