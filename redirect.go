package flowhook

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/flowhook/flowhook/internal/target"
)

// Redirect is the redirect hook for [Config.Add]: it answers 302 Found, with to as the Location, byte for byte. Nothing
// of the request has a say in it.
//
// to is an absolute http or https URL, or a path on the same site such as /maintenance. It is ASCII, and goes, for every
// browser that follows the WHATWG URL standard, to the origin and path that it shows. So it has no user info, no
// backslash, no dot segment (also not as %2e), no control character (also not as %0d), no character that a browser
// would percent-encode (but for ' in a query, which leads to the same place), and no host that one would rewrite, such
// as 0x7f.1. Upper case in scheme and host, a default port and a missing root slash are fine. A host is an IPv4 address
// in four decimals, an IPv6 address in its shortest form, or a name of which the last label does not begin with a digit.
// One beyond ASCII is written in its xn-- form; whether its letters are allowed in a name is not checked, and if they are
// not, it leads nowhere, as a misspelled one.
//
// Any other target is an error, which [New] reports; Run of the hook returns it. The hook is safe for concurrent use.
func Redirect(to string) Hook {
	return &redirect{to: to, err: target.Check(to)}
}

type redirect struct {
	to   string
	err  error // what is wrong with to
	asks bool  // the request may name another URL: see Pipeline.ReturnURL
}

// Run does without http.Redirect, which cleans paths, makes them absolute by the request, and escapes.
func (h *redirect) Run(_ context.Context, x *Exchange) error {
	if h.err != nil {
		return h.err
	}
	to := h.to
	if h.asks && x.run.returnTo != "" {
		to = x.run.returnTo
	}
	x.Writer.Header().Set("Location", to)
	x.Writer.WriteHeader(http.StatusFound)
	return nil
}

// shown is the target for people, without what may be a secret in it.
func (h *redirect) shown() string {
	to, _, _ := strings.Cut(h.to, "#")
	to, _, _ = strings.Cut(to, "?")
	return to
}

// newRedirect makes the hook of an entry in the file. returns says that there are URLs that a request may name.
func newRedirect(decode func(v any) error, returns bool) (Hook, error) {
	var config struct {
		To      *string `yaml:"to"`
		Default *string `yaml:"default_redirect_url"`
		Allow   bool    `yaml:"allow_user_defined_redirect"`
	}
	if err := decode(&config); err != nil {
		return nil, err
	}
	var errs []error // one for each key, as a file reports all that is wrong with it
	if config.Allow && !returns {
		errs = append(errs, &fieldError{key: "allow_user_defined_redirect", err: errors.New(
			"there are no return URLs that a user could name; list them in selfservice.allowed_return_urls, or remove it")})
	}
	key, to := "to", config.To
	if to == nil {
		key, to = "default_redirect_url", config.Default
	} else if config.Default != nil {
		errs = append(errs, &fieldError{key: "default_redirect_url", err: errors.New(
			`"to" is set as well, and a redirect has one target; remove one of them`)})
	}
	if to == nil {
		errs = append(errs, errors.New(`"to" is missing: an absolute http or https URL, or a path on the same site such as /maintenance`))
	} else if err := target.Check(*to); err != nil {
		errs = append(errs, &fieldError{key: key, err: err})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &redirect{to: *to, asks: config.Allow}, nil
}
