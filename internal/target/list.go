package target

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// A List is a list of the URLs to which a user may return. The zero value allows none. It is safe
// for concurrent reads.
type List struct{ entries []place }

// A place is where a target leads. A path on the same site has segments only.
type place struct {
	scheme, host, port string   // in lower case and with the default port; .example.org is every host below example.org
	segments           []string // as written
}

// Add adds an entry of Kratos' allowed_return_urls: an absolute http or https URL, or a path on the
// same site. The entry must pass [Check] and have neither query nor fragment. A host may begin with
// the label *, which matches one or more labels; at least two labels must follow. The path must not
// be one on which servers differ; see Allows.
//
// Add returns an error for any other entry and leaves the list unchanged. The error for another
// scheme wraps [ErrScheme]. Add is not safe for concurrent use.
func (l *List) Add(entry string) error {
	scheme, rest, below := strings.Cut(entry, "://*.")
	below = below && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
	to := entry
	if below {
		to = scheme + "://" + rest
	}
	fault, part := targetFault(to)
	var p place
	if fault == "" {
		p = placeOf(to)
		fault, part = entryFault(to, p, below)
	} else if fault != ErrScheme.Error() && strings.Contains(to, "*") {
		fault, part = starFaultOf(to), "" // it explains more
	}
	if fault != "" {
		const rule = "an allowed return URL must be an absolute http or https URL, " +
			"or a path on the same site such as /app, without query and fragment"
		return refusal(rule, entry, fault, part)
	}
	if below {
		p.host = "." + p.host
	}
	l.entries = append(l.entries, p)
	return nil
}

const starFault = "has a * that is not the first label of a host; " +
	"a * matches subdomains only, as in https://*.example.org"

// starFaultOf returns what is wrong with an entry that has a * elsewhere than in its first label.
func starFaultOf(to string) string {
	_, rest, _ := strings.Cut(to, "://")
	authority, _, _ := strings.Cut(rest, "/")
	prefix, below := strings.CutSuffix(to, "/*")
	switch {
	case strings.HasSuffix(authority, ":*") && authority != ":*":
		return "has a * as its port; write one entry per port"
	case to == "/*":
		return "is a pattern; write / to allow every path on the same site"
	case below && !strings.Contains(prefix, "*") && !strings.HasSuffix(prefix, "/"): // not http://*
		return "ends in /*; leave out the /*, as an entry also allows everything below it"
	}
	return starFault
}

// entryFault returns what is wrong with an entry that is a good target. to is the entry without its
// first label *, and below reports whether it had one.
func entryFault(to string, p place, below bool) (fault, part string) {
	_, err := netip.ParseAddr(p.host)
	switch {
	case strings.ContainsAny(to, "?#"):
		return "has a query or a fragment, which would not be compared; remove it", ""
	case strings.Contains(to, "*"):
		return starFaultOf(to), ""
	case below && err == nil:
		return "has a * before an IP address, which has no subdomains", ""
	case below && !strings.Contains(strings.TrimSuffix(p.host, "."), "."):
		return "has a * before a single label, which would allow anyone's hosts; write at least two labels after it", ""
	}
	return segmentsFault(p.segments)
}

// Allows reports whether to, an absolute URL or a path on the same site, is within an entry. A
// target is within an entry if both have the same origin and its path begins with the entry's path.
// The host of an entry may match all hosts below it. Paths are compared segment by segment, as
// written. A trailing slash does not matter, nor do the query and the fragment of to. A path on the
// same site is only within an entry that is such a path.
//
// Allows rejects what does not pass [Check], and paths that servers read differently. These are
// paths with an encoded slash or backslash, even if it is encoded twice, and paths with a dot
// segment that has parameters (..;a). It also rejects a path on the same site with /../ in its
// fragment, which [http.Redirect] treats as part of the path.
func (l *List) Allows(to string) bool {
	if fault, _ := targetFault(to); fault != "" {
		return false
	}
	p := placeOf(to)
	if fault, _ := segmentsFault(p.segments); fault != "" {
		return false
	}
	beforeQuery, _, _ := strings.Cut(to, "?")
	if p.host == "" && slices.Contains(strings.Split(beforeQuery, "/"), "..") {
		return false // the .. is in the fragment: Check refuses one in the path
	}
	return slices.ContainsFunc(l.entries, p.within)
}

// within reports whether p is within the entry e.
func (p place) within(e place) bool {
	return p.scheme == e.scheme && p.port == e.port &&
		(p.host == e.host || strings.HasPrefix(e.host, ".") && strings.HasSuffix(p.host, e.host)) &&
		len(p.segments) >= len(e.segments) && slices.Equal(p.segments[:len(e.segments)], e.segments)
}

// placeOf returns where a target without fault leads. Without query and fragment, such a target
// always parses, and its EscapedPath is the path as written.
func placeOf(to string) place {
	to, _, _ = split(to)
	u, err := url.Parse(to)
	if err != nil {
		panic(err) // a zero place would be a path on the same site
	}
	p := place{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	switch {
	case p.port != "":
	case p.scheme == "https":
		p.port = "443"
	case p.scheme == "http":
		p.port = "80"
	}
	p.segments = strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if last := len(p.segments) - 1; p.segments[last] == "" { // a trailing slash, or no path at all
		p.segments = p.segments[:last]
	}
	return p
}

// differing are the escapes that a server or a proxy may decode to a slash, a backslash or a dot
// segment. An escaped % may begin another escape.
var differing = []string{"%2f", "%5c", "%252", "%255", "%25%"}

// segmentsFault returns what is wrong with segments that browsers keep, but servers may change.
func segmentsFault(segments []string) (fault, part string) {
	for _, segment := range segments {
		lower := strings.ToLower(segment)
		for _, escape := range differing {
			if strings.Contains(lower, escape) {
				return "contains an encoded slash or backslash, or a doubly encoded escape, " +
					"on which servers differ", escape
			}
		}
		if name, _, _ := strings.Cut(segment, ";"); isDots(name) {
			return "contains a dot segment with parameters, which some servers resolve", segment
		}
	}
	return "", ""
}
