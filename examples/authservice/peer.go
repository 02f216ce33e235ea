package main

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// The client's address is found without a library. ClientIPFromXFF of chi 5.5.0 and
// ExtractIPFromXFFHeader of echo 5.4.5 are well kept, but do not read entries with a port. Azure's
// Application Gateway sends such entries, and all its clients would share one limit on attempts.
// realclientip-go reads them. But its only release, 1.0.0, is of April 2022, and does not check
// that a proxy has connected, so a client that connects directly could forge its address.

// fromProxy reports whether a trusted proxy sent the request.
func (c config) fromProxy(r *http.Request) bool {
	connected, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && c.trusted(connected.Addr().Unmap().WithZone(""))
}

// peer returns the client's address: the remote address or, if that is a trusted proxy, the last
// address in X-Forwarded-For that is not one. The entries before it can be forged. It returns the
// zero Addr if the address is unknown.
func (c config) peer(r *http.Request) netip.Addr {
	connected, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := connected.Addr().Unmap().WithZone("")
	entries := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(entries) - 1; i >= 0 && c.trusted(from); i-- {
		next, ok := forwarded(entries[i])
		if !ok {
			break // the proxy is the last known address
		}
		from = next
	}
	return from
}

func (c config) trusted(address netip.Addr) bool {
	for _, proxy := range c.Proxies {
		if proxy.Contains(address) {
			return true
		}
	}
	return false
}

// forwarded parses an entry of X-Forwarded-For. Some proxies add the port.
func forwarded(entry string) (netip.Addr, bool) {
	entry = strings.TrimSpace(entry)
	if host, _, err := net.SplitHostPort(entry); err == nil {
		entry = host
	}
	address, err := netip.ParseAddr(strings.Trim(entry, "[]"))
	return address.Unmap().WithZone(""), err == nil
}

// network returns the network that a single client controls: an IPv4 address or an IPv6 /64.
func network(address netip.Addr) string {
	if address.Is6() {
		return netip.PrefixFrom(address, 64).Masked().String()
	}
	return address.String()
}
