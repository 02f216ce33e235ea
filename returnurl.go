package flowhook

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/flowhook/flowhook/internal/target"
)

// returns are where users go after a flow.
type returns struct {
	to      map[Point]string // by flow and strategy; neither, and no strategy: what holds for all others
	allowed target.List      // what a request may name
	asking  []Flow           // those with a redirect that goes there
}

// ReturnURL gives the URL to send the user to when a flow is done: the one that the request names in its parameter
// return_to, if the file allows it, or else the file's default_browser_return_url (default_return_to) for the strategy, for
// the flow, or for all. The parameter is taken from the query, and from a form in the body, which it parses. Call it before
// anything is saved: ErrBadReturnURL says that the URL is none that is allowed, that there is more than one, or that the form
// cannot be read; errors.As finds the *http.MaxBytesError, where it is over a limit that the host has set.
//
// What is allowed stands in selfservice.allowed_return_urls: a URL is within an entry, if its origin is the entry's, and the
// segments of the entry's path begin its path. A host may begin with "*.", for all hosts below. The URL must be as strict as
// that of a [Redirect]. ErrNotConfigured: the request names none, and neither does the file. ErrUnknownPoint: the flow or the
// strategy is unknown, or Options.Serves does not have it. ReturnURL is safe for concurrent use, with different requests.
func (p *Pipeline) ReturnURL(r *http.Request, flow Flow, strategy Strategy) (string, error) {
	x, _ := FromContext(r.Context())
	now := p.plan(x)
	if now.find(flow, strategy) == nil {
		return "", now.unknown(Point{flow, After, strategy})
	}
	if to, err := now.returns.named(r); to != "" || err != nil {
		return to, err
	}
	for _, at := range []Point{{Flow: flow, Strategy: strategy}, {Flow: flow}, {}} {
		if to := now.returns.to[at]; to != "" {
			return to, nil
		}
	}
	return "", fmt.Errorf("%w: a default return URL; set selfservice.default_browser_return_url", ErrNotConfigured)
}

// named gives the URL that a request names; "" if it names none.
func (u *returns) named(r *http.Request) (string, error) {
	if err := parseForm(r); err != nil {
		return "", err
	}
	named := slices.Compact(slices.DeleteFunc(slices.Clone(r.Form["return_to"]), func(to string) bool { return to == "" }))
	switch {
	case len(named) == 0:
		return "", nil
	case len(named) > 1:
		return "", fmt.Errorf("%w: return_to is there more than once", ErrBadReturnURL)
	case !u.allowed.Allows(named[0]):
		return "", fmt.Errorf("%w: return_to is not within selfservice.allowed_return_urls", ErrBadReturnURL)
	}
	return named[0], nil
}

// parseForm is ParseForm, which parses once, and tells nobody after that what went wrong: a handler would take what is left
// of a body for the whole form. So one that cannot be read, or is too big, is an error. Of the query, which stays, what cannot
// be read is not there.
func parseForm(r *http.Request) error {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/x-www-form-urlencoded" && r.Body != nil && r.PostForm == nil { // no other body is touched
		body := *r
		body.URL = nil
		if err := body.ParseForm(); err != nil {
			if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
				return fmt.Errorf("%w: the form cannot be read: %w", ErrBadReturnURL, big)
			}
			return fmt.Errorf("%w: the form cannot be read", ErrBadReturnURL) // why may quote what is in it
		}
		r.PostForm = body.PostForm
	}
	_ = r.ParseForm()
	return nil
}

// returns reads the file's return URLs.
func (b *builder) returns() {
	u := &b.plan.returns
	u.to = map[Point]string{}
	for _, r := range b.file.Returns {
		if err := target.Check(r.URL.Value); err != nil {
			b.wrong(b.at(r.URL), "", "%v", err)
		}
		u.to[Point{Flow: Flow(r.Flow), Strategy: Strategy(r.Strategy)}] = r.URL.Value
	}
	for _, v := range b.file.Allowed {
		if err := u.allowed.Add(v.Value); err != nil && !errors.Is(err, target.ErrScheme) {
			b.wrong(b.at(v), "", "%v", err)
		}
	}
}
