package flowhook

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/flowhook/flowhook/internal/accept"
	"github.com/flowhook/flowhook/internal/form"
	"github.com/flowhook/flowhook/internal/stage"
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
			outermost := !ok || x.run.guard == nil
			switch {
			case !ok:
				c := &struct { // in one allocation
					exchangeContext
					exchange Exchange
					guard    stage.Guard
				}{}
				x = &c.exchange
				c.exchangeContext = exchangeContext{ctx, x}
				ctx, x.run.guard = &c.exchangeContext, &c.guard
			case outermost && !x.run.busy:
				x.run.guard = new(stage.Guard)
			}
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

// AnswerError answers a request whose run failed with err. It is the default of Options.OnError,
// and handlers call it with an error of [Pipeline.Run], [Pipeline.Complete] or a Redeem.
//
//   - A [Refusal] is sent with its status, text, code, field and Retry-After, and logged at level
//     Info with its cause.
//   - [ErrBadReturnURL] is a 400 with the code "bad_return_url".
//   - [ErrUsedToken] is a 400 with the code "used_token", and any other [ErrBadToken] one with
//     "bad_token".
//   - Any other error is logged at level Error and answered with a 500 that says nothing about it.
//
// A client that wants JSON (see Options.JSON) gets application/problem+json, RFC 9457. Any other
// client gets text/plain. If the response has already begun, through a writer that Middleware has
// handed out, AnswerError only logs. It never calls Options.OnError. It is safe for concurrent use
// with different requests.
func (p *Pipeline) AnswerError(w http.ResponseWriter, r *http.Request, err error) {
	refusal := refusalIn(err)
	switch {
	case refusal != nil:
		p.log.LogAttrs(r.Context(), slog.LevelInfo, "flowhook: refused",
			slog.Any("error", err), slog.Any("cause", refusal.Err))
	case is(err, ErrBadReturnURL):
		refusal = &Refusal{Status: http.StatusBadRequest, Code: "bad_return_url"}
	case is(err, ErrUsedToken):
		refusal = &Refusal{Status: http.StatusBadRequest, Code: "used_token",
			Text: "This link or code was already used."}
	case is(err, ErrBadToken):
		refusal = &Refusal{Status: http.StatusBadRequest, Code: "bad_token",
			Text: "This link or code is wrong, has expired or was already used."}
	default:
		p.log.LogAttrs(r.Context(), slog.LevelError, "flowhook: a request failed", slog.Any("error", err))
		refusal = &Refusal{Status: http.StatusInternalServerError}
	}
	if x, ok := FromContext(r.Context()); ok && x.run.guard.Begun() {
		return
	}
	p.refuse(w, r, refusal)
}

// refuse answers with a Refusal.
func (p *Pipeline) refuse(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	status := cmp.Or(refusal.Status, http.StatusForbidden)
	title := cmp.Or(http.StatusText(status), "Refused")
	h := w.Header()
	if refusal.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatFloat(math.Ceil(refusal.RetryAfter.Seconds()), 'f', 0, 64))
	}
	h.Set("Cache-Control", "no-store")
	p.vary(h)
	if !p.wantsJSON(r) {
		http.Error(w, cmp.Or(refusal.Text, title), status)
		return
	}
	body, _ := json.Marshal(problem{title, status, refusal.Text, refusal.Code, refusal.Field}) // cannot fail

	h.Del("Content-Length") // as http.Error does
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// A problem is an application/problem+json document, RFC 9457, section 3. Its type is about:blank.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code,omitempty"`
	Field  string `json:"field,omitempty"`
}

// wantsJSON reports whether a client wants JSON. r may be nil.
func (p *Pipeline) wantsJSON(r *http.Request) bool {
	switch {
	case r == nil:
		return false
	case p.options.JSON != nil:
		return p.options.JSON(r)
	}
	return accept.JSON(r.Header.Values("Accept"))
}

// vary says that the answer depends on the Accept header, if it does.
func (p *Pipeline) vary(h http.Header) {
	if p.options.JSON == nil && !slices.Contains(h.Values("Vary"), "Accept") {
		h.Add("Vary", "Accept")
	}
}
