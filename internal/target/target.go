// Package target decides where a browser may be sent: Check for what is configured, List for what a
// request asks for.
package target

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// ErrScheme is in the errors for a URL whose scheme is neither http nor https.
var ErrScheme = errors.New("has another scheme")

// Check returns an error if to is no good as a target. See [flowhook.Redirect] for the rule. The
// error for a scheme other than http and https wraps [ErrScheme]. No error shows what may be a
// secret. Check is safe for concurrent use.
func Check(to string) error {
	fault, part := targetFault(to)
	if fault == "" {
		return nil
	}
	return refusal("the target must be an absolute http or https URL, or a path on the same site such as /maintenance", to, fault, part)
}

// CheckURL is [Check] for a URL that must be absolute. Its error shows nothing of one that is not.
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

// Shown returns as much of a URL as may appear in errors, logs and pages: all of it up to the first
// ?, # or ;, encoded or not, since a secret may follow. It returns "" for a text that is no good as
// a target and contains an @, encoded or not: there, anything may be a password.
func Shown(text string) string {
	if containsAt(text) {
		if fault, _ := targetFault(text); fault != "" {
			return ""
		}
	}
	end, _ := separator(text)
	return text[:end]
}

// What a reader may take for one of these characters is the character, its full-width and small
// forms, and any of them percent-encoded, however often, or as %u and four hex digits.
var (
	separators = regexp.MustCompile(`(?i)[?#;\x{37e}\x{fe54}\x{fe56}\x{fe5f}\x{ff03}\x{ff1b}\x{ff1f}]` +
		`|%(?:25)*(?:3f|23|3b|u00(?:3f|23|3b)|u037e|ufe5[46f]|uff(?:03|1b|1f)` +
		`|cd%(?:25)*be|ef%(?:25)*b9%(?:25)*(?:94|96|9f)|ef%(?:25)*bc%(?:25)*(?:83|9b|9f))`)
	ats = regexp.MustCompile(`(?i)[@\x{fe6b}\x{ff20}]` +
		`|%(?:25)*(?:40|u0040|ufe6b|uff20|ef%(?:25)*b9%(?:25)*ab|ef%(?:25)*bc%(?:25)*a0)`)
)

// separator returns where the first ?, # or ; of a text begins and ends, or twice the length of the
// text if it has none.
func separator(text string) (begin, end int) {
	if special(text) {
		if at := separators.FindStringIndex(text); at != nil {
			return at[0], at[1]
		}
	}
	return len(text), len(text)
}

// containsAt reports whether a text contains an @ or what a reader may decode to one.
func containsAt(text string) bool { return special(text) && ats.MatchString(text) }

// special reports whether a text has a character that separators or ats begin with. Most have none,
// and a file may have thousands of keys.
func special(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 || strings.ContainsRune("?#;@%", r) })
}

// refusal returns the error for a text that has a fault. It quotes no more of the text than Shown
// returns, and of the part that is wrong no more than that either; a single character reveals
// nothing.
func refusal(rule, text, fault, part string) error {
	err := errors.New(fault)
	if fault == ErrScheme.Error() {
		err = ErrScheme
	}
	if containsAt(text) {
		return fmt.Errorf("%s; this one (not shown, as it contains an @) %w", rule, err)
	}
	begin, end := separator(text)
	shown := text[:begin]
	if begin < len(text) {
		known, _ := separator(part)
		if part = part[:known]; len(part) > 1 && !strings.Contains(shown, part) {
			part = ""
		}
		shown += text[begin:end] + "..."
	}
	if part != "" {
		return fmt.Errorf("%s; %q %w: %q", rule, shown, err, part)
	}
	return fmt.Errorf("%s; %q %w", rule, shown, err)
}

// split cuts a target into what decides where it leads, its query and its fragment. The latter two
// include their ? and #.
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

// reference matches what was meant to be replaced before a target is used: ${HOST}, {{ .Host }},
// $HOST, $(HOST), %HOST% and <your-host>.
var reference = regexp.MustCompile(`\$\{|\{\{|\$\([A-Za-z_]|^\$[A-Za-z_]|^%[A-Z_]+%|<[A-Za-z][A-Za-z _.-]*>`)

// targetFault returns what is wrong, and the part of the target that is: two values, as the part
// may be a secret.
func targetFault(to string) (fault, part string) {
	if to == "" {
		return "is empty", ""
	}
	place, query, fragment := split(to)
	fault, part = partsFault(place, query, fragment)
	if fault != "" && reference.MatchString(place) {
		return "is written as a reference, which is resolved in secrets and in the config of the host's own hooks only", ""
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
			return "contains a dot segment, which browsers resolve, so that it leads elsewhere than it says", segment
		}
	}
	if fault, part := placeFault(place); fault != "" {
		return fault, part
	}
	// Neither changes origin or path. In both, browsers keep every % and every backslash.
	if fault, part := characterFault(query, ""); fault != "" {
		return fault, part
	}
	return characterFault(fragment, "`")
}

// placeFault is about the target without query and fragment.
func placeFault(place string) (fault, part string) {
	switch {
	case strings.HasPrefix(place, "//"):
		return "names another host without a scheme; put https: in front", ""
	case strings.HasPrefix(place, "/"):
		return "", ""
	}
	// Releases of Go differ on brackets: for some, the host name of https://evil.example[::1] is
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

// isDots reports whether browsers resolve a segment. By the standard, they do so even if its dots
// are encoded.
func isDots(segment string) bool {
	dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
	return dots == "." || dots == ".."
}

// characterFault accepts the characters that browsers keep in every part of a URL, except for those
// in encoded, which they percent-encode in this part.
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

// escapeFault is about the part that decides where a target leads.
func escapeFault(place string) (fault, part string) {
	for i := range len(place) {
		switch {
		case place[i] == '\\':
			return "contains a backslash, which browsers take for a slash", ""
		case place[i] != '%':
			continue
		case i+3 > len(place):
			return "contains a % that begins no escape; write it as %25", place[i:]
		}
		b, err := strconv.ParseUint(place[i+1:i+3], 16, 8)
		switch {
		case err != nil:
			return "contains a % that begins no escape; write it as %25", place[i : i+3]
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

// hostFault takes the host with its brackets, and the name without. The standard leaves a host that
// passes as it is, except for its case.
func hostFault(host, name string) (fault, part string) {
	name = strings.ToLower(name)
	ip, err := netip.ParseAddr(name)
	if strings.HasPrefix(host, "[") {
		// The standard has no zones, and writes addresses as RFC 5952 does, except for the dotted
		// form of mapped ones. Some releases of Go take [127.0.0.1].
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
