package flowhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/form"
	"github.com/flowhook/flowhook/internal/target"
)

// Redirect returns the redirect hook, for [Config.Add]. It answers 302 Found, with to as the
// Location, byte for byte. Nothing in the request changes to.
//
// A client that wants JSON (see Options.JSON) cannot see a 302. It gets the answer of Ory Kratos
// instead, with Cache-Control: no-store. At After, that is a 200 with
//
//	{"continue_with":[{"action":"redirect_browser_to","redirect_browser_to":"..."}]}
//
// At the other phases it is a 422 with
//
//	{"error":{"id":"browser_location_change_required","code":422,...},"redirect_browser_to":"..."}
//
// to is an absolute http or https URL, or a path on the same site such as /maintenance. It must be
// a URL that every browser that follows the WHATWG URL standard takes to the origin and path that
// it shows:
//
//   - It is ASCII, and has no control characters, no spaces and none of " < >.
//   - Before the first ? or #, it has no user info, no backslash, no dot segment (also not as %2e),
//     no encoded control character such as %0d, and no other character that browsers
//     percent-encode.
//   - Its host is an IPv4 address of four decimal numbers, an IPv6 address in its shortest form, or
//     a name whose last label does not begin with a digit. Names beyond ASCII must be in xn-- form.
//   - Upper case in scheme and host, a default port and a missing root slash are allowed.
//   - After the first ? or #, it may contain what browsers keep there, such as {|}^ and \. In a
//     fragment, that excludes the backtick.
//
// With any other target, [New] returns an error, and so does the hook's Run. The error does not
// show what follows the first ?, # or ;. The hook is safe for concurrent use.
func Redirect(to string) Hook {
	return &redirect{to: to, err: target.Check(to)}
}

var redirectHook = builtin{
	name:        "redirect",
	description: "Answers 302 and ends the chain.",
	config:      redirectConfig{},
	place:       placeRedirect,
	make:        newRedirect,
}

type redirectConfig struct {
	To      *string `yaml:"to" doc:"Where to go: an absolute URL, or a path on the same site such as /home."`
	Default *string `yaml:"default_redirect_url" doc:"An older name of to."`
	Follow  bool    `yaml:"allow_user_defined_redirect" doc:"Go to the request's return_to, if it is allowed."`
}

type redirect struct {
	to      string
	err     error      // what is wrong with to
	at      conf.Value // where the file has to
	follows bool       // the request may name another URL: see Pipeline.ReturnURL
}

// placeRedirect moves a redirect of the registration flow to BeforePersist, where it disables
// registration, as the founding document says.
func placeRedirect(p Point) Phase {
	if p.Flow == Registration {
		return BeforePersist
	}
	return After
}

// Run does not use http.Redirect, which would change the URL: it cleans and escapes paths, and
// makes them absolute.
func (h *redirect) Run(_ context.Context, x *Exchange) error {
	if h.err != nil {
		return h.err
	}
	to := h.to
	if named := x.progress().returnTo; h.follows && named != "" {
		to = named
	}
	x.redirect(to, http.StatusFound)
	return nil
}

// redirect answers a browser with a redirect, and a JSON client with a body that says where to go.
func (x *Exchange) redirect(to string, status int) {
	h := x.Writer.Header()
	if plan := x.run.plan.Load(); plan != nil {
		plan.pipeline.vary(h)
		if plan.pipeline.wantsJSON(x.Request) {
			x.redirectJSON(to)
			return
		}
	}
	h.Set("Location", to)
	x.Writer.WriteHeader(status)
}

// A continuation is a redirect in the form in which Kratos tells API clients what to do after a
// flow.
type continuation struct {
	ContinueWith [1]struct {
		Action string `json:"action"`
		To     string `json:"redirect_browser_to"`
	} `json:"continue_with"`
}

// A locationChange is a redirect in the form in which Kratos tells API clients that a browser has
// to go on.
type locationChange struct {
	Error struct {
		ID      string `json:"id"`
		Code    int    `json:"code"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"error"`
	To string `json:"redirect_browser_to"`
}

// redirectJSON answers with a redirect as Kratos does.
func (x *Exchange) redirectJSON(to string) {
	status := http.StatusOK
	var body any
	if x.Point().Phase == After {
		var c continuation
		c.ContinueWith[0].Action, c.ContinueWith[0].To = "redirect_browser_to", to
		body = c
	} else {
		status = http.StatusUnprocessableEntity
		c := locationChange{To: to}
		c.Error.ID, c.Error.Code, c.Error.Status = "browser_location_change_required", status, http.StatusText(status)
		c.Error.Reason = "To go on, open redirect_browser_to in a browser."
		c.Error.Message = "the browser must change its location"
		body = c
	}
	h := x.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	x.Writer.WriteHeader(status)
	_ = json.NewEncoder(x.Writer).Encode(body) // strings cannot fail, and what was not written fails the run
}

// newRedirect returns the redirect hook of an entry, or nil if its config is wrong.
func newRedirect(b *builder, e *conf.Entry) Hook {
	var config redirectConfig
	if b.decode(e, &config, nil) != nil {
		return nil
	}
	if list := b.file.AllowedAt; config.Follow && (list.Node == nil || len(list.Content) == 0) {
		b.wrongConfig(e, "allow_user_defined_redirect",
			"there are no return URLs that a user could name; "+
				"list them in selfservice.allowed_return_urls, or remove it")
	}
	key, to := "to", config.To
	if to == nil {
		key, to = "default_redirect_url", config.Default
	} else if config.Default != nil {
		b.wrongConfig(e, "default_redirect_url",
			`"to" is set as well, and a redirect has one target; remove one of them`)
	}
	if to == nil {
		b.wrongConfig(e, "", `"to" is missing: an absolute http or https URL, `+
			"or a path on the same site such as /maintenance")
		return nil
	}
	if err := target.Check(*to); err != nil {
		b.wrongConfig(e, key, "%v", err)
	}
	if config.Follow {
		b.plan.returns.followed = append(b.plan.returns.followed, Flow(e.Flow))
	}
	return &redirect{to: *to, at: e.Config.Get(key), follows: config.Follow}
}

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
