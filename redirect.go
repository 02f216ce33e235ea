package flowhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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
	return &redirect{to: to, err: checkTarget(to)}
}

type redirect struct {
	to  string
	err error // what is wrong with to
}

// Run does without http.Redirect, which cleans paths, makes them absolute by the request, and escapes.
func (h *redirect) Run(_ context.Context, x *Exchange) error {
	if h.err != nil {
		return h.err
	}
	x.Writer.Header().Set("Location", h.to)
	x.Writer.WriteHeader(http.StatusFound)
	return nil
}

// newRedirect makes the hook of an entry in the file.
func newRedirect(decode func(v any) error) (Hook, error) {
	var config struct {
		To      *string `yaml:"to"`
		Default *string `yaml:"default_redirect_url"`
		Allow   bool    `yaml:"allow_user_defined_redirect"`
	}
	if err := decode(&config); err != nil {
		return nil, err
	}
	var errs []error // one for each key, as a file reports all that is wrong with it
	if config.Allow {
		errs = append(errs, &fieldError{key: "allow_user_defined_redirect", err: errors.New(
			"there are no return URLs that a user could name yet; remove it, or set it to false")})
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
	} else if err := checkTarget(*to); err != nil {
		errs = append(errs, &fieldError{key: key, err: err})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &redirect{to: *to}, nil
}

// checkTarget says what is wrong with a target, or nil. See [Redirect] for the rule.
func checkTarget(to string) error {
	fault, part := targetFault(to)
	if fault == "" {
		return nil
	}
	const rule = "the target must be an absolute http or https URL, or a path on the same site such as /maintenance"
	if strings.Contains(to, "@") { // a password may stand before it
		return fmt.Errorf("%s; this one (not shown, as it contains an @) %s", rule, fault)
	}
	if part != "" {
		fault += fmt.Sprintf(": %q", part)
	}
	return fmt.Errorf("%s; %q %s", rule, to, fault)
}

// targetFault gives what is wrong, and the part of the target that is: two values, as the part may be a secret.
func targetFault(to string) (fault, part string) {
	if to == "" {
		return "is empty", ""
	}
	if fault, part := characterFault(to); fault != "" {
		return fault, part
	}
	path := to
	if i := strings.IndexAny(to, "?#"); i >= 0 {
		path = to[:i]
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return "contains a dot segment, which browsers resolve; write the path that it leads to", segment
		}
	}
	switch {
	case strings.HasPrefix(to, "//"):
		return "names another host without a scheme; put https: in front", ""
	case strings.HasPrefix(to, "/"):
		return "", ""
	}
	u, err := url.Parse(to)
	switch {
	case err != nil:
		return "is not a URL", errors.Unwrap(err).Error()
	case u.Scheme == "":
		return "is neither: it starts with no scheme and no slash", ""
	case u.Scheme != "http" && u.Scheme != "https":
		return "has another scheme", u.Scheme
	case u.User != nil:
		return "contains user info, which a browser may send and a reader may take for the host; remove it", ""
	case u.Host == "":
		return "has no host; write two slashes and a host after the scheme", ""
	case strings.HasSuffix(u.Host, ":"):
		return "has a colon without a port; remove it", ""
	case !validPort(u.Port()):
		return "has a port that is not a number from 1 to 65535 without leading zeros", u.Port()
	}
	return hostFault(u.Host, u.Hostname())
}

// characterFault leaves what every browser passes on as it is: the characters of RFC 3986.
func characterFault(to string) (fault, part string) {
	for i := range len(to) {
		switch c := to[i]; {
		case c < 0x20 || c == 0x7f:
			return "contains a control character", to[i : i+1]
		case c >= 0x80:
			return "is not ASCII; write a host in its xn-- form, and percent-encode the rest", ""
		case c == '\\':
			return "contains a backslash, which browsers take for a slash", ""
		case c == '%':
			if i+3 > len(to) {
				return "contains a % that begins no escape; write it as %25", to[i:]
			}
			b, err := strconv.ParseUint(to[i+1:i+3], 16, 8)
			switch {
			case err != nil:
				return "contains a % that begins no escape; write it as %25", to[i : i+3]
			case b < 0x20 || b == 0x7f:
				return "contains an encoded control character", to[i : i+3]
			}
		case strings.IndexByte(" \"<>^`{|}", c) >= 0:
			return "contains a character that must be percent-encoded", to[i : i+1]
		}
	}
	return "", ""
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0 && port[0] != '0'
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// hostFault takes the host with its brackets, and the name without. What passes is left alone by the standard, but for its case.
func hostFault(host, name string) (fault, part string) {
	name = strings.ToLower(name)
	ip, err := netip.ParseAddr(name)
	if strings.HasPrefix(host, "[") {
		// The standard has no zones, and writes addresses as RFC 5952 does, but for the dotted form of mapped ones. Is6
		// is for the first releases of Go 1.25, whose url.Parse takes [127.0.0.1].
		if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" || ip.String() != name {
			return "has an IPv6 address that is not in its shortest form, is mapped, or has a zone", name
		}
		return "", ""
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		// An xn-- label that ends in a hyphen is plain ASCII in disguise, which some browsers take off.
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, hostCharacters) != "" {
			return "has a host that is none: labels of letters, digits, hyphens (inside) and underscores, with dots between", name
		}
	}
	// No top-level domain begins with a digit. Parsers disagree on what else is a number: 0x7f, 0177, 08, 0-1.
	if last := labels[len(labels)-1]; '0' <= last[0] && last[0] <= '9' && err != nil {
		return "has a host that may be taken for another IPv4 address; write that as four decimal numbers such as 127.0.0.1", name
	}
	return "", ""
}
