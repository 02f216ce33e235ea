package check

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// parse parses a URL without its fragment. Browsers allow more in it than url.Parse does.
func parse(to string) (*url.URL, error) {
	to, _, _ = strings.Cut(to, "#")
	return url.Parse(to)
}

// safe reports whether a URL is not plain http, or stays on the machine.
func safe(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
	return !strings.EqualFold(u.Scheme, "http") || local
}

// registries are the labels under which the registries of countries sell names, as in co.uk.
var registries = []string{
	"ac", "co", "com", "edu", "go", "gob", "gov", "gv", "ltd", "mil", "ne", "net", "nom", "or", "org", "plc", "sch",
}

// site returns what the hosts of one site have in common: the last two labels, or three if the last
// two belong to a registry. It is a guess, without a list of all registries. So a rule that uses it
// must report no more than a warning.
func site(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	n, k := 2, len(labels)
	if k > 2 && len(labels[k-1]) == 2 && slices.Contains(registries, labels[k-2]) {
		n = 3
	}
	return strings.Join(labels[max(0, k-n):], ".")
}
