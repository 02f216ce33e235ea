package webhook

import (
	"errors"
	"net/http"
	"time"
)

// A Delivery is one notification that is to be sent. It holds no secrets, so that a queue may store
// it as JSON: [Webhook.Deliver] looks up the URL, the headers, the credentials and the secrets that
// sign in the entry of the file, for each attempt.
type Delivery struct {
	// ID is the webhook-id header. It is the same for every attempt.
	ID string `json:"id"`

	// Hook names the entry: its point, and its config's id or, without one, a hash of its method and
	// URL.
	Hook string `json:"hook"`

	// Body is sent as it is, with this type. Without a body, it is nil.
	Body        []byte `json:"body,omitempty"`
	ContentType string `json:"content_type,omitempty"`

	// Forwarded are the headers of the request that the entry forwards.
	Forwarded http.Header `json:"forwarded,omitempty"`

	// Created is when the hook has run.
	Created time.Time `json:"created"`
}

// ErrRejected means that another attempt is useless: the receiver has refused the delivery for
// good.
var ErrRejected = errors.New("webhook: rejected")

// ErrCanceled is for the function that [Options.Body] returns. The call is then skipped, and the
// hook succeeds. In Kratos, a Jsonnet body does this with error "cancel".
var ErrCanceled = errors.New("webhook: canceled by the body")

// A RetryError is a failure that another attempt may cure. After is what the receiver asked for, or
// 0.
type RetryError struct {
	After time.Duration
	Err   error
}

func (e *RetryError) Error() string { return e.Err.Error() }

func (e *RetryError) Unwrap() error { return e.Err }
