package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
)

// An outcome is what a handler saw.
type outcome struct {
	handled bool
	err     error    // of the first attempt
	ended   any      // nil: it returned; errGone: by Goexit; else what was panicked with
	refused int      // how often the failed hooks have run
	changed string   // what of the exchange is not as it was after the first attempt
	is      contents // after the first attempt, where there is a second
}

func (o outcome) failed() bool { return o.err != nil || o.ended != nil }

var errGone = errors.New("the goroutine ended")

// serve is the host's handler.
func (r *faultTest) serve(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("X-Host", "kept")
	w.Header().Set("Vary", "Cookie")
	if req.URL.Path == "/page" {
		http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), 30*time.Second)
	defer cancel()
	r.cancel, r.real = cancel, w
	x := &flowhook.Exchange{Writer: w, Request: req.WithContext(ctx)}
	if !r.names {
		x.Identity = newIdentity()
	}
	if r.flow == flowhook.Settings {
		s := r.came
		x.Session = &s
	}
	o := outcome{ended: errGone}
	ctx = flowhook.NewContext(ctx, x)
	o.changed = r.begin(ctx)
	was := captureState(x, w)
	defer func() { // after a Goexit, too
		if o.refused = r.refused; o.ended == errGone {
			o.changed += was.differs(captureState(x, w))
		}
		r.outcome <- o
		if o.ended == http.ErrAbortHandler {
			panic(o.ended)
		}
	}()
	r.attempt(ctx, x, &o)
	last := o
	if o.failed() {
		o.changed += r.left(ctx, was, captureState(x, w))
		if r.again {
			o.is, _ = r.store.contents(r.clock.Now())
			r.attempt(flowhook.NewContext(req.Context(), x), x, &last)
		}
	}
	switch {
	case last.handled || last.ended == http.ErrAbortHandler:
	case last.failed():
		http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
	default:
		io.WriteString(w, "done")
	}
}

// begin runs the phases before the attempt.
func (r *faultTest) begin(ctx context.Context) (wrong string) {
	phases := []flowhook.Phase{flowhook.Before, flowhook.BeforePersist}
	if !r.run {
		phases = phases[:1]
	}
	for _, phase := range phases {
		if handled, err := r.pipeline.Run(ctx, r.flow, phase, flowhook.Password); handled || err != nil {
			return fmt.Sprint(phase, handled, err)
		}
	}
	return ""
}

// left describes the traces of an attempt that returned an error.
func (r *faultTest) left(ctx context.Context, was, is exchangeState) string {
	if changed := was.differs(is); changed != "" || r.run {
		return changed
	}
	// The failed attempt included the gate, so the gate does not count as run.
	if _, err := r.pipeline.Run(ctx, r.flow, flowhook.After, flowhook.Password); !errors.Is(err,
		flowhook.ErrPhaseSkipped) {
		return fmt.Sprint("the marks: ", err)
	}
	return ""
}

// attempt runs the flow once.
func (r *faultTest) attempt(ctx context.Context, x *flowhook.Exchange, o *outcome) {
	o.ended = errGone
	defer func() {
		if v := recover(); v != nil {
			o.ended = v
		}
	}()
	if r.run {
		o.handled, o.err = r.pipeline.Run(ctx, r.flow, flowhook.After, flowhook.Password)
	} else {
		o.handled, o.err = r.pipeline.Complete(ctx, r.flow, flowhook.Password,
			func(ctx context.Context) error { return r.save(ctx, x) })
	}
	o.ended = nil
}

// An exchangeState is an exchange at one moment, with copies of everything that a hook can change.
type exchangeState struct {
	x        *flowhook.Exchange
	writer   http.ResponseWriter
	request  *http.Request
	identity *flowhook.Identity
	session  *flowhook.Session
	content  struct {
		Identity  flowhook.Identity
		Addresses []flowhook.Address
		Session   flowhook.Session
		Err       error
		Point     flowhook.Point
		Header    http.Header
	}
}

func captureState(x *flowhook.Exchange, real http.ResponseWriter) exchangeState {
	p := exchangeState{x: x, writer: x.Writer, request: x.Request, identity: x.Identity, session: x.Session}
	if x.Identity != nil {
		p.content.Identity, p.content.Addresses = *x.Identity, slices.Clone(x.Identity.Addresses)
		p.content.Identity.Addresses = nil
	}
	if x.Session != nil {
		p.content.Session = *x.Session
	}
	p.content.Err, p.content.Point, p.content.Header = x.Err, x.Point(), real.Header().Clone()
	return p
}

// differs describes the difference, or returns "".
func (p exchangeState) differs(q exchangeState) string {
	switch {
	case p.writer != q.writer || p.request != q.request:
		return "the writer or the request"
	case p.identity != q.identity || p.session != q.session:
		return "the identity or the session"
	case !reflect.DeepEqual(p.content, q.content):
		return fmt.Sprintf("%+v is now %+v", p.content, q.content)
	}
	return ""
}

// request returns the bytes of the response, with a fixed date.
func (r *faultTest) request(path string) string {
	r.t.Helper()
	return flowtest.DateLine.ReplaceAllString(flowtest.RawRequest(r.t, r.addr, path, r.token), "\r\nDate: now\r\n")
}
