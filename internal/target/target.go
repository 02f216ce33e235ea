// Package target decides where a browser may be sent. Check is for configured targets, and List for
// those that requests name.
package target

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// ErrScheme is wrapped by the errors for a URL whose scheme is neither http nor https.
var ErrScheme = errors.New("has another scheme")

// Check returns an error if to is not a valid target. See [flowhook.Redirect] for the rule. The
// error for a scheme other than http and https wraps [ErrScheme]. No error reveals a part of to
// that may be a secret. Check is safe for concurrent use.
func Check(to string) error {
	fault, part := targetFault(to)
	if fault == "" {
		return nil
	}
	const rule = "the target must be an absolute http or https URL, or a path on the same site such as /maintenance"
	return refusal(rule, to, fault, part)
}

// CheckURL is [Check] for a URL that must be absolute. If it is not, the error quotes nothing of
// it.
func CheckURL(to string) error {
	const rule = "the URL must be an absolute http or https URL"
	_, _, absolute := strings.Cut(to, "://")
	fault, part := targetFault(to)
	switch {
	case (!absolute || strings.HasPrefix(to, "/")) && !reference.MatchString(to):
		return errors.New(rule)
	case fault != "":
		return refusal(rule, to, fault, part)
	}
	return nil
}

// split cuts a target into its place, which decides where it leads, its query and its fragment. The
// query begins with its ?, and the fragment with its #.
func split(to string) (place, query, fragment string) {
	place = to
	if i := strings.IndexByte(place, '#'); i >= 0 {
		place, fragment = place[:i], place[i:]
	}
	if i := strings.IndexByte(place, '?'); i >= 0 {
		place, query = place[:i], place[i:]
	}
	return place, query, fragment
}

// reference matches references and placeholders that nothing has replaced: ${HOST}, {{ .Host }},
// $HOST, $(HOST), %HOST% and <your-host>.
var reference = regexp.MustCompile(`\$\{|\{\{|\$\([A-Za-z_]|^\$[A-Za-z_]|^%[A-Z_]+%|<[A-Za-z][A-Za-z _.-]*>`)

// targetFault returns what is wrong with a target, and which part of it is. The part is a value of
// its own because it may be a secret. A good target has no fault.
func targetFault(to string) (fault, part string) {
	if to == "" {
		return "is empty", ""
	}
	place, query, fragment := split(to)
	fault, part = partsFault(place, query, fragment)
	if fault != "" && reference.MatchString(place) {
		return "is written as a reference; references are resolved only in secrets " +
			"and in the config of the host's own hooks", ""
	}
	return fault, part
}

func partsFault(place, query, fragment string) (fault, part string) {
	if fault, part := characterFault(place, "`^{|}"); fault != "" {
		return fault, part
	}
	if fault, part := escapeFault(place); fault != "" {
		return fault, part
	}
	for segment := range strings.SplitSeq(place, "/") {
		if isDots(segment) {
			return "contains a dot segment, which browsers resolve, so that the target leads elsewhere", segment
		}
	}
	if fault, part := placeFault(place); fault != "" {
		return fault, part
	}
	// Query and fragment change neither origin nor path. In both, browsers keep every % and every
	// backslash.
	if fault, part := characterFault(query, ""); fault != "" {
		return fault, part
	}
	return characterFault(fragment, "`")
}

// placeFault returns what is wrong with a target without its query and fragment.
func placeFault(place string) (fault, part string) {
	switch {
	case strings.HasPrefix(place, "//"):
		return "names another host without a scheme; put https: in front", ""
	case strings.HasPrefix(place, "/"):
		return "", ""
	}
	// Releases of Go differ on brackets. In some, the host name of https://evil.example[::1] is
	// ::1.
	_, authority, _ := strings.Cut(place, "://")
	authority, _, _ = strings.Cut(authority, "/")
	u, err := url.Parse(place)
	switch {
	case strings.LastIndexByte(authority, '[') > 0 && !strings.Contains(authority, "@"):
		return "has a host with a [ that is not its first character", authority
	case err != nil:
		return "is not a URL", errors.Unwrap(err).Error()
	case u.Scheme == "":
		return "starts with neither a scheme nor a slash", ""
	case u.Scheme != "http" && u.Scheme != "https":
		return ErrScheme.Error(), u.Scheme
	case u.User != nil:
		return "contains user info, which browsers may send and readers may mistake for the host; remove it", ""
	case u.Host == "":
		return "has no host; write two slashes and a host after the scheme", ""
	case strings.HasSuffix(u.Host, ":"):
		return "has a colon without a port; remove it", ""
	case !validPort(u.Port()):
		return "has a port that is not a number from 1 to 65535 without leading zeros", u.Port()
	}
	return hostFault(u.Host, u.Hostname())
}

// isDots reports whether browsers resolve a segment. The standard says that they do so even if its
// dots are encoded.
func isDots(segment string) bool {
	dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
	return dots == "." || dots == ".."
}

// characterFault returns a fault for a text with a character that browsers change. Those in encoded
// are characters that browsers percent-encode in this part of a URL only.
func characterFault(text, encoded string) (fault, part string) {
	for i := range len(text) {
		switch c := text[i]; {
		case c < 0x20 || c == 0x7f:
			return "contains a control character", text[i : i+1]
		case c >= 0x80:
			return "is not ASCII; write a host in its xn-- form, and percent-encode the rest", ""
		case strings.IndexByte(" \"<>", c) >= 0 || strings.IndexByte(encoded, c) >= 0:
			return "contains a character that must be percent-encoded", text[i : i+1]
		}
	}
	return "", ""
}

// escapeFault returns a fault for a place with a backslash or a bad escape.
func escapeFault(place string) (fault, part string) {
	for i := range len(place) {
		switch {
		case place[i] == '\\':
			return "contains a backslash, which browsers treat as a slash", ""
		case place[i] != '%':
			continue
		case i+3 > len(place):
			return "contains a % that does not begin an escape; write it as %25", place[i:]
		}
		b, err := strconv.ParseUint(place[i+1:i+3], 16, 8)
		switch {
		case err != nil:
			return "contains a % that does not begin an escape; write it as %25", place[i : i+3]
		case b < 0x20 || b == 0x7f:
			return "contains an encoded control character", place[i : i+3]
		}
	}
	return "", ""
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && port[0] != '0'
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// hostFault returns what is wrong with a host. host has the brackets of an IPv6 address, and name
// does not. The standard keeps a good host unchanged, except for its case.
func hostFault(host, name string) (fault, part string) {
	name = strings.ToLower(name)
	ip, err := netip.ParseAddr(name)
	if strings.HasPrefix(host, "[") {
		// The standard has no zones. It writes addresses as RFC 5952 does, except for the dotted
		// form of mapped ones. Some releases of Go accept [127.0.0.1].
		if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" || ip.String() != name {
			return "has an IPv6 address that is not in its shortest form, is mapped, or has a zone", name
		}
		return "", ""
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		// An xn-- label that ends in a hyphen is plain ASCII, to which some browsers decode it.
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, hostCharacters) != "" {
			return "has an invalid host; write labels of letters, digits, inner hyphens and underscores, " +
				"separated by dots", name
		}
	}
	// No top-level domain begins with a digit. Parsers disagree on what else is a number: 0x7f,
	// 0177, 08, 0-1.
	if last := labels[len(labels)-1]; '0' <= last[0] && last[0] <= '9' && err != nil {
		return "has a host that may be read as another IPv4 address; " +
			"write four decimal numbers such as 127.0.0.1", name
	}
	return "", ""
}
