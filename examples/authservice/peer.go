package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// readProxies reads TRUSTED_PROXIES: addresses and networks, separated by commas.
func readProxies(list string) (proxies []netip.Prefix, err error) {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(one)
		if address, single := netip.ParseAddr(one); err != nil && single == nil {
			prefix, err = address.Prefix(address.BitLen())
		}
		if err == nil && prefix.Bits() == 0 {
			return nil, errors.New("TRUSTED_PROXIES trusts every address, so any client could forge its own; list " +
				"only your proxies")
		}
		if err != nil {
			return nil, fmt.Errorf("TRUSTED_PROXIES contains %q, which is neither an IP address nor a network such "+
				"as 10.0.0.0/8", one)
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
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
