package flowhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// A Message is an email to send.
type Message struct {
	Via     string // that of the address: "email"
	To      string // one valid address, which cannot end or add a header
	Subject string
	Text    string // plain English
	HTML    string // the same, as HTML
	Link    string // the link in the text, for couriers with templates of their own; or empty
	Button  string // the label of Link, such as "Confirm address", for couriers with templates of their own; or empty
	Code    string // the code in the text, likewise; or empty
}

// A Courier sends messages. Send may be called concurrently. Its context carries the exchange for
// [FromContext].
//
// Send is called after the commit, with a context that ends 10 seconds later; all emails of a run
// share that time. If Send fails, the error is logged and the message's token is deleted, so that
// the next flow sends another email. Send must return when ctx ends. If it does not, that is
// logged, too, and flowhook stops waiting: Send may then go on, but it must not use the exchange.
// The token is kept, and deleted only if Send returns an error after all.
//
// If [Options.Outbox] is set, Send is called inside the transaction instead, with the transaction's
// context. It is waited for however long it takes, and its error fails the hook. A courier that
// works only there has a method NeedsOutbox(), which is never called: without Options.Outbox, it is
// an error of [New]. A courier that wraps such a courier must have the method, too.
type Courier interface {
	Send(ctx context.Context, m Message) error
}

// grace is how long a courier may take to return after its context has ended.
const grace = 200 * time.Millisecond

var errStillSending = errors.New("the courier has not returned although its context has ended; " +
	"it is no longer waited for")

// A delivery is an email that is sent after the commit.
type delivery struct {
	pipeline *Pipeline
	message  Message
	hash     []byte    // of the token in the message; nil if it has none
	by       HookError // the hook that sends it, without an error
}

// newDelivery returns the delivery of a message that the running hook sends.
func (x *Exchange) newDelivery(p *Pipeline, m Message, hash []byte) *delivery {
	d := &delivery{pipeline: p, message: m, hash: hash, by: HookError{Point: x.Point()}}
	if h := x.run.hook; h != nil {
		d.by.Name, d.by.Position = h.entry.Name(), h.position()
	}
	return d
}

// send sends a message in a run: with Options.Outbox at once, as a part of the transaction, and
// otherwise after the commit. hash is that of the token in the message, or nil.
func (x *Exchange) send(ctx context.Context, p *Pipeline, m Message, hash []byte) error {
	if p.options.Outbox {
		return p.send(ctx, m)
	}
	x.AfterCommit(x.newDelivery(p, m, hash).run)
	return nil
}

// run sends the email. If the courier fails, run deletes the token, so that an email that never
// left does not count against the interval.
func (d *delivery) run(ctx context.Context) error {
	err := d.deliver(ctx)
	if err != nil && err != errStillSending {
		d.forget(ctx)
	}
	return err
}

// deliver calls the courier and waits for it while ctx lasts. The courier has a goroutine of its
// own, which an unresponsive one keeps; what becomes of the email then is still logged.
func (d *delivery) deliver(ctx context.Context) error {
	sent, alone := make(chan error), make(chan struct{})
	go func() {
		err := errGoexit
		defer func() {
			if v := recover(); v != nil {
				err = panicked(v)
				d.pipeline.logPanic(ctx, d.by.Point, d.by.Name, d.by.Position, debug.Stack())
			}
			select {
			case sent <- err:
			case <-alone:
				if err != nil {
					d.report(ctx, "flowhook: a courier that was no longer waited for has failed", err)
					d.forget(ctx)
				}
			}
		}()
		err = d.pipeline.send(ctx, d.message)
	}()
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-sent:
		return err
	case <-late.C:
		close(alone)
		return errStillSending
	}
}

// forget deletes the token of an email that was not sent.
func (d *delivery) forget(ctx context.Context) {
	if d.hash == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
	defer cancel()
	err := errGoexit
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
		if err != nil {
			d.report(ctx, "flowhook: an email that was not sent still counts against the interval: "+
				"deleting its token failed", err)
		}
	}()
	err = d.pipeline.tokens.DeleteToken(ctx, d.hash)
}

func (d *delivery) report(ctx context.Context, what string, err error) {
	e := d.by
	e.Err = err
	d.pipeline.log.LogAttrs(ctx, slog.LevelError, what, slog.Any("error", &e))
}

// send calls the courier. What the courier returns, or panics with, may quote the address or the
// link, so its error keeps its type for errors.Is and errors.As, but not its text. A panic goes on.
func (p *Pipeline) send(ctx context.Context, m Message) error {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			err, _ := v.(error)
			panic(&courierError{fmt.Sprintf("%T", v), err})
		}
	}()
	if err := p.options.Courier.Send(ctx, m); err != nil {
		return &courierError{fmt.Sprintf("%T", err), err}
	}
	return nil
}

type courierError struct {
	what string // the type of what it returned, or panicked with
	err  error  // nil: it panicked with something else
}

func (e *courierError) Error() string {
	return "the courier did not send the email (" + e.what + "; its text is withheld, since it may name the address)"
}

func (e *courierError) Unwrap() error { return e.err }
