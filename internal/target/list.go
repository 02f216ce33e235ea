package target

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// A List holds the URLs that a user may be sent back to. The zero value allows none. It is safe for concurrent reads.
type List struct{ entries []place }

// A place is where a target leads. Of a path on the same site, all but the segments is empty.
type place struct {
	scheme, host, port string   // in lower case, the default port filled in; a host that begins with a dot is any below it
	segments           []string // as written
}

// Add takes an entry of Kratos' allowed_return_urls: an absolute http or https URL, or a path on the same site, that passes
// [Check] and has neither query nor fragment. A host may begin with the label *, which stands for one label or more, and at
// least two labels must follow. Anything else is an error, after which the list is as it was; that for another scheme wraps
// [ErrScheme]. The path is held to what Allows says of servers. Add is not safe for concurrent use.
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
		fault, part = starFaultOf(to), "" // which explains more
	}
	if fault != "" {
		return refusal("an allowed return URL must be an absolute http or https URL, or a path on the same site such as /app, "+
			"without query and fragment", entry, fault, part)
	}
	if below {
		p.host = "." + p.host
	}
	l.entries = append(l.entries, p)
	return nil
}

const starFault = "has a * that is not the first label of a host; " +
	"it stands for subdomains, as in https://*.example.org, and for nothing else"

// starFaultOf is what is wrong with an entry that has a *, apart from a first label.
func starFaultOf(to string) string {
	_, rest, _ := strings.Cut(to, "://")
	authority, _, _ := strings.Cut(rest, "/")
	prefix, below := strings.CutSuffix(to, "/*")
	switch {
	case strings.HasSuffix(authority, ":*") && authority != ":*":
		return "has a * for a port; write one entry per port"
	case to == "/*":
		return "is a pattern; write / to allow every path on the same site"
	case below && !strings.Contains(prefix, "*") && !strings.HasSuffix(prefix, "/"): // not http://*
		return "ends in /*; leave out /*; everything below is allowed"
	}
	return starFault
}

// entryFault is about what a target may have, but an entry may not. It takes the entry without its first label *.
func entryFault(to string, p place, below bool) (fault, part string) {
	_, err := netip.ParseAddr(p.host)
	switch {
	case strings.ContainsAny(to, "?#"):
		return "has a query or a fragment, which is not compared; remove it", ""
	case strings.Contains(to, "*"):
		return starFaultOf(to), ""
	case below && err == nil:
		return "has a * before an IP address, which has no subdomains", ""
	case below && !strings.Contains(strings.TrimSuffix(p.host, "."), "."):
		return "has a * before a single label, which allows hosts of anybody; name at least two labels after it", ""
	}
	return segmentsFault(p.segments)
}

// Allows reports whether to, an absolute URL or a path on the same site, is within an entry. The
// origin is the same (the entry's host may stand for those below it), and the segments of the
// entry's path begin the path of to, compared as written; a slash at the end of either, and query
// and fragment of to, do not matter. A path on the same site is within entries that are such paths
// only. Nothing is allowed that does not pass [Check], or of which servers differ on the path: one
// with an encoded slash or backslash, also if it is encoded twice, or with a dot segment that has
// parameters (..;a). Nor is a path on the same site with /../ in its fragment, which
// [http.Redirect] takes for a part of the path.
func (l *List) Allows(to string) bool {
	if fault, _ := targetFault(to); fault != "" {
		return false
	}
	p := placeOf(to)
	if fault, _ := segmentsFault(p.segments); fault != "" {
		return false
	}
	if beforeQuery, _, _ := strings.Cut(to, "?"); p.host == "" && slices.Contains(strings.Split(beforeQuery, "/"), "..") {
		return false // it is in the fragment: Check refuses it in the path
	}
	return slices.ContainsFunc(l.entries, p.within)
}

func (p place) within(e place) bool {
	return p.scheme == e.scheme && p.port == e.port &&
		(p.host == e.host || strings.HasPrefix(e.host, ".") && strings.HasSuffix(p.host, e.host)) &&
		len(p.segments) >= len(e.segments) && slices.Equal(p.segments[:len(e.segments)], e.segments)
}

// placeOf takes a target without fault. Without query and fragment, it always parses, and its
// EscapedPath is the path as written.
func placeOf(to string) place {
	to, _, _ = split(to)
	u, err := url.Parse(to)
	if err != nil {
		panic(err) // rather than take it for a path on the same site
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
	if last := len(p.segments) - 1; p.segments[last] == "" { // the slash at the end, or no path at all
		p.segments = p.segments[:last]
	}
	return p
}

// differing are the escapes of which a server may make a slash, a backslash or a dot segment, or another server before it: an
// escaped % can begin an escape again.
var differing = []string{"%2f", "%5c", "%252", "%255", "%25%"}

// segmentsFault is about what browsers leave alone, and servers may not.
func segmentsFault(segments []string) (fault, part string) {
	for _, segment := range segments {
		lower := strings.ToLower(segment)
		for _, escape := range differing {
			if strings.Contains(lower, escape) {
				return "contains an encoded slash or backslash, or an escape that is encoded again: servers differ on it", escape
			}
		}
		if name, _, _ := strings.Cut(segment, ";"); isDots(name) {
			return "contains a dot segment with parameters, which some servers resolve", segment
		}
	}
	return "", ""
}
