// Package target decides where a browser may be sent: Check for what stands in the configuration, List for what a request
// asks for.
package target

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ErrScheme is in the errors for a URL whose scheme is neither http nor https.
var ErrScheme = errors.New("has another scheme")

// Check says what is wrong with a target, or nil. See [flowhook.Redirect] for the rule. The error for another scheme than
// http and https wraps [ErrScheme]. It is safe for concurrent use.
func Check(to string) error {
	fault, part := targetFault(to)
	if fault == "" {
		return nil
	}
	return refusal("the target must be an absolute http or https URL, or a path on the same site such as /maintenance", to, fault, part)
}

// refusal is the error for a text that has a fault.
func refusal(rule, text, fault, part string) error {
	err := errors.New(fault)
	if fault == ErrScheme.Error() {
		err = ErrScheme
	}
	if strings.Contains(text, "@") { // a password may stand before it
		return fmt.Errorf("%s; this one (not shown, as it contains an @) %w", rule, err)
	}
	if part != "" {
		return fmt.Errorf("%s; %q %w: %q", rule, text, err, part)
	}
	return fmt.Errorf("%s; %q %w", rule, text, err)
}

// targetFault gives what is wrong, and the part of the target that is: two values, as the part may be a secret.
func targetFault(to string) (fault, part string) {
	switch {
	case to == "":
		return "is empty", ""
	case strings.HasPrefix(to, "${"):
		return "is written as a reference, which is resolved in secrets and in the config of the host's own hooks only", ""
	}
	if fault, part := characterFault(to); fault != "" {
		return fault, part
	}
	path := to
	if i := strings.IndexAny(to, "?#"); i >= 0 {
		path = to[:i]
	}
	for segment := range strings.SplitSeq(path, "/") {
		if isDots(segment) {
			return "contains a dot segment, which browsers resolve, so that it leads elsewhere than it says", segment
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
		return ErrScheme.Error(), u.Scheme
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

// isDots says whether a segment is one that is resolved, by the standard also where its dots are encoded.
func isDots(segment string) bool {
	dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
	return dots == "." || dots == ".."
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
	_, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && port[0] != '0'
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
