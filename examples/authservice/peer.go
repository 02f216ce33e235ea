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
			return nil, errors.New("TRUSTED_PROXIES trusts everybody: then each client may write down where it comes from")
		}
		if err != nil {
			return nil, fmt.Errorf("TRUSTED_PROXIES has %q, which is neither an address nor a network such as 10.0.0.0/8", one)
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

// peer gives the address that a request comes from: the one that is connected or, where that is a trusted proxy, the last one
// in X-Forwarded-For that is none. What stands before that anybody may have written. The zero Addr: it is not known.
func (c config) peer(r *http.Request) netip.Addr {
	connected, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := connected.Addr().Unmap().WithZone("")
	said := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(said) - 1; i >= 0 && c.trusted(from); i-- {
		next, ok := forwarded(said[i])
		if !ok {
			break // then the proxy is the last that is known
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

// forwarded reads what a proxy has written. Some write the port along.
func forwarded(said string) (netip.Addr, bool) {
	said = strings.TrimSpace(said)
	if host, _, err := net.SplitHostPort(said); err == nil {
		said = host
	}
	address, err := netip.ParseAddr(strings.Trim(said, "[]"))
	return address.Unmap().WithZone(""), err == nil
}

// network gives what one client has: an IPv4 address, or an IPv6 network of 64 bits.
func network(address netip.Addr) string {
	if address.Is6() {
		return netip.PrefixFrom(address, 64).Masked().String()
	}
	return address.String()
}
