package flowhook

import "net/http"

// Middleware wraps the routes of a flow, GET and POST alike. It puts an exchange into the request's context and runs the
// flow's Before hooks. If one of them answers, the handler is not reached; if one fails, Options.OnError answers. An
// exchange that the context already has is used again, with this writer and request until the handler returns: so the
// callback of one flow may be wrapped for another too.
//
// It stands innermost, next to the handler: a handler below another wrapper sets x.Writer = w before it runs hooks.
// Middleware panics if the flow is not declared.
func (p *Pipeline) Middleware(flow Flow) func(http.Handler) http.Handler {
	if p.current.Load().find(flow, FlowWide) == nil {
		panic("flowhook: Middleware of the unknown flow " + string(flow))
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, ok := FromContext(r.Context())
			if !ok {
				x = &Exchange{}
			}
			if !x.run.busy {
				w = x.guard.Writer(w)
			}
			switch {
			case !ok:
				x.Writer = w
				r = r.WithContext(NewContext(r.Context(), x))
				x.Request = r
			case !x.run.busy: // else Run says that it is nested
				outerWriter, outerRequest := x.Writer, x.Request
				defer func() { x.Writer, x.Request = outerWriter, outerRequest }()
				x.Writer, x.Request = w, r
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
