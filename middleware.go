package flowhook

import (
	"net/http"

	"github.com/flowhook/flowhook/internal/form"
)

// Middleware wraps the routes of a flow, GET and POST alike. It puts an exchange into the request's
// context and runs the flow's Before hooks. If one of them answers, the handler is not called; if
// one fails, Options.OnError answers. If the context already has an exchange, Middleware uses it,
// with this writer and request until the handler returns. So the callback of one flow can be
// wrapped for another flow, too.
//
// The handler's ResponseWriter is guarded. While hooks or save run, the guard refuses what the
// handler writes, flushes or hijacks, and the run fails: http.Redirect(w, ...) in save would answer
// a request that may still be rolled back. If the run fails, header changes are undone. Hooks write
// to x.Writer; the handler writes when Run or Complete has returned. Once the response has begun, a
// hook that answers or sets a header is an error, and so is a session that needs a cookie.
//
// Of the optional interfaces, the guard implements Flusher, Hijacker, FlushError and Unwrap;
// http.ResponseController finds the others. Three writers are not guarded: the result of Unwrap,
// one that Middleware has not handed out, such as gin's c.Writer, and one that you put into an
// Exchange yourself.
//
// Make it the innermost middleware. If another one wraps the ResponseWriter between Middleware and
// the handler, the handler sets x.Writer = w before it runs hooks. Middleware panics if the flow is
// unknown, or if Options.Serves does not have it.
func (p *Pipeline) Middleware(flow Flow) func(http.Handler) http.Handler {
	if now := p.current.Load(); now.find(flow, FlowWide) == nil {
		panic(now.unknown(Point{Flow: flow, Phase: Before}).Error())
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			x, ok := FromContext(ctx)
			if !ok {
				c := &exchangeContext{Context: ctx}
				x, ctx = &c.exchange, c
			}
			outermost := !x.run.guard.Used()
			if !x.run.busy {
				w = x.run.guard.Writer(w)
			}
			switch {
			case !ok:
				x.Writer = w
				r = r.WithContext(ctx)
				x.Request = r
			case !x.run.busy: // else Run says that it is nested
				outerWriter, outerRequest := x.Writer, x.Request
				defer func() { x.Writer, x.Request = outerWriter, outerRequest }()
				x.Writer, x.Request = w, r
			}
			if outermost && r.MultipartForm == nil { // else the files are not ours
				defer form.RemoveFiles(r)
			}
			handled, err := p.Run(r.Context(), flow, Before, FlowWide)
			switch {
			case handled:
			case err != nil:
				p.onError(w, r, err)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// answerError is the default of Options.OnError.
func (p *Pipeline) answerError(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if is(err, ErrBadReturnURL) {
		status = http.StatusBadRequest
	} else {
		p.log.ErrorContext(r.Context(), "flowhook: a before hook failed", "error", err)
	}
	http.Error(w, http.StatusText(status), status)
}
