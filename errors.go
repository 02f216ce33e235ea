package flowhook

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// These errors tell the host what happened. Test for them with errors.Is.
var (
	// ErrNotFound is what a store returns for an unknown session or token.
	ErrNotFound = errors.New("flowhook: not found")

	// ErrNoSession means that a request is anonymous: it has no token, a forged, expired or revoked
	// one, or cookies of two live sessions.
	ErrNoSession = errors.New("flowhook: no session")

	// ErrBadToken means that a link or a code is unknown, already used or expired, or that its
	// address no longer belongs to the identity.
	ErrBadToken = errors.New("flowhook: bad token")

	// ErrUsedToken means that a link was used before and has not expired, as after a double click.
	// It is also an ErrBadToken, and for stores an ErrNotFound.
	ErrUsedToken error = &explained{"flowhook: the token was already used", errors.Join(ErrBadToken, ErrNotFound)}

	// ErrBadAddress means that no email can be sent to an address: see [Address.Check]. It is the
	// user's mistake, not a failure of the store or the courier.
	ErrBadAddress = errors.New("flowhook: bad address")

	// ErrNotConfigured means that the call needs a store or a secret that the pipeline does not
	// have.
	ErrNotConfigured = errors.New("flowhook: not configured")

	// ErrNoExchange means that the context has no exchange (see NewContext and Middleware), or that
	// a cookie is needed and the exchange has no Writer.
	ErrNoExchange = errors.New("flowhook: no exchange in the context")

	// ErrNoIdentity means that a hook needs Exchange.Identity, with its ID, and the handler has not
	// set it.
	ErrNoIdentity = errors.New("flowhook: the exchange has no identity")

	// ErrNoPrevious means that a hook needs Exchange.Previous, and the handler has not set it.
	ErrNoPrevious = errors.New("flowhook: the exchange has no previous identity; " +
		"set x.Previous to the identity as it was before the change")

	// ErrUnknownPoint means that a flow, phase or strategy is unknown, or that Options.Serves does
	// not have it.
	ErrUnknownPoint = errors.New("flowhook: unknown point")

	// ErrPhaseSkipped means that the handler skipped Before or BeforePersist although hooks are
	// configured there.
	ErrPhaseSkipped = errors.New("flowhook: phase skipped")

	// ErrAnswered means that the exchange has been answered, so there is nothing left to run, or
	// that the response has already begun, so that no cookie can be sent.
	ErrAnswered = errors.New("flowhook: already answered")

	// ErrNested means that the exchange is already in a run: this call is inside it, or another
	// goroutine has begun it.
	ErrNested = errors.New("flowhook: run inside a run, or on another goroutine")

	// ErrOtherPipeline means that another pipeline has already used the exchange. An exchange
	// belongs to the first pipeline that runs hooks or issues a session for it.
	ErrOtherPipeline = errors.New("flowhook: this exchange belongs to another pipeline")

	// ErrBadReturnURL means that the request names a return URL that is not allowed, or more than
	// one, or that the form that may name it cannot be read. It is the client's mistake: answer
	// 400.
	ErrBadReturnURL = errors.New("flowhook: bad return URL")
)

// A HookError is a failure of a hook: its own error, a panic, or an answer that cannot be given.
type HookError struct {
	Point    Point    // the point that was running
	Name     string   // the hook, as in the file
	Position Position // where it is configured; zero if unknown
	Err      error
}

// Error names the hook and the place, then says what happened.
func (e *HookError) Error() string {
	at := ""
	if e.Position != (Position{}) {
		at = " (" + e.Position.String() + ")"
	}
	return fmt.Sprintf("flowhook: %s: hook %s%s: %v", e.Point, e.Name, at, e.Err)
}

// Unwrap returns the hook's own error.
func (e *HookError) Unwrap() error { return e.Err }

// A Refusal is an error by which a hook, or save, says no to the user. Like any error, it rolls
// everything back. But it is not a failure: [Pipeline.AnswerError] sends its status and text to the
// client, and logs, traces and metrics count it as refused. Find it in an error of Run or Complete
// with errors.As.
//
// Hooks at [Failed] run after a Refusal, too, with it in Exchange.Err. A hook at Failed may also
// refuse; its Refusal then takes the place of the error.
type Refusal struct {
	Status int    // 400 to 499; 0 means 403. Any other status is a failure of the hook.
	Code   string // for programs, such as "address_not_verified"; may be empty
	Text   string // for the user: plain text, never interpreted as HTML; may be empty
	Field  string // the form field concerned; may be empty
	Err    error  // the cause, for logs only; may be nil

	RetryAfter time.Duration // sent as Retry-After, in whole seconds, if positive
}

// Refuse returns a Refusal. A hook may return it in every phase.
func Refuse(status int, code, text string) *Refusal {
	return &Refusal{Status: status, Code: code, Text: text}
}

// Error returns the code, and never the text.
func (r *Refusal) Error() string {
	if r == nil {
		return "a nil *Refusal"
	}
	return cmp.Or(r.Code, "refused")
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error {
	if r == nil {
		return nil
	}
	return r.Err
}

// refusalIn returns the Refusal in an error, or nil if there is none that can be sent.
func refusalIn(err error) *Refusal {
	r, problem := findRefusal(err)
	if problem != nil {
		return nil
	}
	return r
}

// findRefusal returns the Refusal in an error, and what is wrong with it.
func findRefusal(err error) (r *Refusal, problem error) {
	defer func() {
		if recover() != nil { // an error of the host's, which panics when it is inspected
			r = nil
		}
	}()
	switch found := errors.As(err, &r); {
	case !found:
		return nil, nil
	case r == nil:
		return nil, errNilRefusal
	case r.Status != 0 && (r.Status < 400 || r.Status > 499):
		return r, fmt.Errorf("refused with status %d; a Refusal has a status of 400 to 499", r.Status)
	}
	return r, nil
}

// sound returns the error of a hook. If it is a Refusal that cannot be sent, sound returns an error
// that says so and is no Refusal.
func sound(err error) error {
	r, problem := findRefusal(err)
	if problem == nil {
		return err
	}
	if r == nil || r.Err == nil {
		return problem
	}
	if inner, _ := findRefusal(r.Err); inner != nil { // it must not be sent in place of r
		return problem
	}
	return fmt.Errorf("%w: %w", problem, r.Err)
}

var errNilRefusal = errors.New("returned a nil *Refusal; return nil to pass")

var (
	errOutside = errors.New("flowhook: the context is not the transaction's; " +
		"pass on the one that the hook, or save, was given")
	errTooLate = errors.New("flowhook: the transaction is committed and the answer is given; " +
		"issue or end a session in the hook itself")
	errRanTwice = errors.New("flowhook: the store ran one transaction twice")
	errNotRun   = errors.New("flowhook: the store's Transaction returned nil but did not run its function to the end")
	errGoexit   = errors.New("it ended its goroutine")
)

// is is errors.Is for an error of the host's, which may panic when it is inspected, as a nil
// *url.Error in an error does. Then it is not target.
func is(err, target error) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	return errors.Is(err, target)
}

// An explained error has its own text and wraps another error.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.err }

var (
	errInside = fmt.Errorf("%w: in the transaction of another exchange, or of Redeem; "+
		"run it when that has returned", ErrNested)
	errNoWriterForCookie = &explained{"flowhook: the exchange has no Writer, so no cookie can be sent; " +
		"give jobs and imports a strategy of their own, without the session hook", ErrNoExchange}
	errTooLateForCookie = &explained{"flowhook: the response has already begun, so no cookie can be sent; " +
		"call Complete, or Issue, before you write", ErrAnswered}
)

// panicked returns an error for a recovered panic. If the panic value is an error, errors.Is finds
// it, unless it is a Refusal: a panic is a failure.
func panicked(v any) error {
	err, ok := v.(error)
	if refusal, _ := findRefusal(err); ok && refusal == nil {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", v)
}
