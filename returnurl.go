package flowhook

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/flowhook/flowhook/internal/form"
	"github.com/flowhook/flowhook/internal/target"
)

// returns are where users go after a flow.
type returns struct {
	to       map[Point]string // by flow and strategy; neither, and no strategy: what holds for all others
	allowed  target.List      // what a request may name
	followed []Flow           // the flows with a redirect that goes there
}

// ReturnURL returns the URL to send the user to after a flow. It is the URL in the request's
// parameter return_to, if the file allows it. Without the parameter, it is the file's
// default_browser_return_url (formerly default_return_to) for the strategy, or else for the flow,
// or else for all flows. Call ReturnURL before you save anything.
//
// selfservice.allowed_return_urls lists what is allowed. A URL is allowed if it has the origin of
// an entry and its path begins with the segments of the entry's path. "*." at the beginning of an
// entry's host allows all subdomains. The URL must also be a valid target of [Redirect]. A path on
// the same site must not have /../ in its fragment, which http.Redirect would resolve.
//
// ReturnURL returns ErrBadReturnURL if the URL is not allowed, if the request names more than one,
// or if the form cannot be read. If the form exceeds a limit of http.MaxBytesReader, errors.As
// finds the *http.MaxBytesError. It returns ErrNotConfigured if neither the request nor the file
// names a URL, and ErrUnknownPoint if the flow or strategy is unknown or Options.Serves does not
// have it.
//
// The parameter may be in the query, or in a urlencoded or multipart form in the body. ReturnURL
// parses the form unless it is already parsed; after that, MultipartReader returns an error. It
// keeps at most 11 MiB of values and 1 MiB of files of a multipart form in memory, and the rest of
// the files in temporary files. The body may have at most 32 MiB, unless http.MaxBytesReader sets
// another limit. Middleware and net/http remove the temporary files. If you call ReturnURL without
// Middleware, on a copy of the request that net/http made, call r.MultipartForm.RemoveAll.
//
// ReturnURL is safe for concurrent use with different requests.
func (p *Pipeline) ReturnURL(r *http.Request, flow Flow, strategy Strategy) (string, error) {
	x, _ := FromContext(r.Context())
	now := p.serving(x)
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

// named returns the URL that a request names, or "" if it names none.
func (u *returns) named(r *http.Request) (string, error) {
	if err := form.Parse(r); err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadReturnURL, err)
	}
	empty := func(to string) bool { return to == "" }
	named := slices.Compact(slices.DeleteFunc(slices.Clone(r.Form["return_to"]), empty))
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
