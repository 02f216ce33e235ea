package hooktest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"

	"github.com/flowhook/flowhook"
)

// A Result is the outcome of [Rig.Run], [Rig.Complete] or [Rig.Serve]. Its response is what a
// client has read from a server.
type Result struct {
	// Handled reports whether a hook answered.
	Handled bool

	// Err is the error of Run or Complete. It is http.ErrAbortHandler if a hook, or the handler of
	// Serve, aborted the connection, and otherwise nil after Serve: the handler deals with errors.
	Err error

	// Refusal is the Refusal in Err, if a hook or save has refused. It is nil after Serve: the
	// handler deals with Refusals, too. Status and Body are what it made of them, usually by
	// Pipeline.AnswerError.
	Refusal *flowhook.Refusal

	// Status and Body are the answer. They are zero if Run or Complete left the answer to a
	// handler, and if the connection was aborted. Header includes what hooks set without answering.
	Status  int
	Header  http.Header
	Body    string
	Cookies []*http.Cookie

	// Ran has the names of the hooks that ran, in order, and Hooks the same hooks with their
	// points.
	Ran   []string
	Hooks []HookRun

	// Mails are the emails that the courier took. With Options.Outbox, they include emails that
	// were rolled back.
	Mails []flowhook.Message

	// Sessions are the live sessions of the exchange's identity, as from [Rig.Sessions].
	Sessions []flowhook.Session

	// SignedIn is the session of the response's cookies. It is nil if they have no valid one.
	SignedIn *flowhook.Session

	// Log is what the pipeline logged during the call. It is empty if Options.Logger was set.
	Log string
}

// Run runs the hooks of a point, as [flowhook.Pipeline.Run] does. If the file has hooks at an
// earlier phase, run that phase first on the same exchange; otherwise the error is
// flowhook.ErrPhaseSkipped. When Run returns, everything that hooks left for after the commit is
// done.
//
// x may be nil, for an exchange without an identity. Without x.Request, the request is a POST
// without a form. x.Writer is the rig's during the run. As in [flowhook.Pipeline.Middleware], the
// request's context carries the exchange. Hooks run on the caller's goroutine and write to a real
// server.
func (r *Rig) Run(p flowhook.Point, x *flowhook.Exchange) *Result {
	r.t.Helper()
	return r.run(x, func(ctx context.Context, _ *flowhook.Exchange) (handled bool, err error) {
		return r.Pipeline.Run(ctx, p.Flow, p.Phase, p.Strategy)
	})
}

// Complete runs the hooks at Before. If none of them answers or fails, it calls
// [flowhook.Pipeline.Complete] with save, which may be nil. x is as for Run. To test a handler of
// the service, use [Rig.Serve].
func (r *Rig) Complete(flow flowhook.Flow, strategy flowhook.Strategy, x *flowhook.Exchange,
	save func(ctx context.Context) error) *Result {
	r.t.Helper()
	return r.run(x, func(ctx context.Context, x *flowhook.Exchange) (handled bool, err error) {
		handled, err = r.Pipeline.Run(ctx, flow, flowhook.Before, flowhook.FlowWide)
		if handled || err != nil {
			return handled, err
		}
		traced := save
		if save != nil {
			traced = func(ctx context.Context) error {
				defer r.addSession(x) // a failed attempt takes it out of the exchange
				return save(ctx)
			}
		}
		return r.Pipeline.Complete(ctx, flow, strategy, traced)
	})
}

// Serve serves a request with a handler of the service's own, in [flowhook.Pipeline.Middleware] of
// the flow. Make the handler with r.Pipeline, and pass it bare: if it is already wrapped in
// Middleware, the hooks at Before run twice. The Result has the response of the handler, or of the
// hook that answered in its place.
//
// The handler receives req as the test made it, with its context, form and RemoteAddr; see
// [httptest.NewRequest]. Nil is a POST without a form. The handler runs on the caller's goroutine
// and writes to a real server. If it panics, so does Serve, except that http.ErrAbortHandler
// becomes Result.Err.
func (r *Rig) Serve(flow flowhook.Flow, handler http.Handler, req *http.Request) *Result {
	r.t.Helper()
	if req == nil {
		req = newRequest()
	}
	got, x := r.observe(req, func(ctx context.Context, w http.ResponseWriter) {
		served := req.WithContext(ctx)
		if served.Body == nil { // a server's request has a body
			served.Body = http.NoBody
		}
		r.Pipeline.Middleware(flow)(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			traceFrom(ctx).setExchange(flowhook.MustFromContext(req.Context()))
			handler.ServeHTTP(w, req)
		})).ServeHTTP(w, served)
	})
	got.Handled = x.Answered()
	return got
}

// run runs hooks on x, for Run and Complete.
func (r *Rig) run(x *flowhook.Exchange,
	run func(ctx context.Context, x *flowhook.Exchange) (handled bool, err error)) *Result {
	r.t.Helper()
	if x == nil {
		x = &flowhook.Exchange{}
	}
	if x.Request == nil {
		x.Request = newRequest()
	}
	handled, err := false, error(nil)
	got, _ := r.observe(x.Request, func(ctx context.Context, w http.ResponseWriter) {
		traceFrom(ctx).setExchange(x)
		r.addSession(x)
		ctx = flowhook.NewContext(ctx, x)
		x.Request = x.Request.WithContext(ctx)
		original := x.Writer
		x.Writer = w
		defer func() { x.Writer = original }()
		handled, err = run(ctx, x)
	})
	if got.Err == nil {
		got.Handled, got.Err = handled, err
	}
	got.Refusal = refusalIn(got.Err)
	if !got.Handled { // the server answered because there is no handler
		got.Status, got.Body = 0, ""
	}
	return got
}

// refusalIn returns the Refusal in err that a client is answered with, or nil.
func refusalIn(err error) (r *flowhook.Refusal) {
	defer func() {
		if recover() != nil { // an error of the service, which panics when it is inspected
			r = nil
		}
	}()
	if !errors.As(err, &r) || r == nil || r.Status != 0 && (r.Status < 400 || r.Status > 499) {
		return nil // save's error may have a Refusal that AnswerError does not send
	}
	return r
}

func newRequest() *http.Request {
	return httptest.NewRequest(http.MethodPost, "https://auth.example/", nil)
}

// observe calls serve with a context that traces what happens, and with the writer of a real
// server. It returns the exchange that hooks and handlers used.
func (r *Rig) observe(req *http.Request,
	serve func(ctx context.Context, w http.ResponseWriter)) (*Result, *flowhook.Exchange) {
	r.t.Helper()
	got, tr, logged := &Result{}, &trace{}, r.log.len()
	ctx := context.WithValue(req.Context(), traceKey{}, tr)
	res, err := overWire(req.Method, func(w http.ResponseWriter) (abort bool) {
		defer func() {
			if v := recover(); v == http.ErrAbortHandler {
				got.Err, abort = http.ErrAbortHandler, true
			} else if v != nil {
				panic(v)
			}
		}()
		serve(ctx, w)
		return false
	})
	switch {
	case got.Err != nil: // aborted
	case err != nil:
		r.t.Fatalf("hooktest: no response: %v", err)
	default:
		got.Status, got.Header, got.Body, got.Cookies = res.status, res.header, res.body, res.cookies
	}
	x := tr.copyTo(got)
	r.addSession(x)
	if x.Identity != nil {
		got.Sessions = r.Sessions(x.Identity.ID)
	}
	got.SignedIn = r.signedIn(got.Cookies)
	got.Log = r.log.from(logged)
	return got, x
}
