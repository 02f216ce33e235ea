package main

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeer(t *testing.T) {
	for _, c := range []struct {
		name      string
		connected string
		forwarded []string // the values of X-Forwarded-For
		want      string   // the network
	}{
		{"direct", "192.0.2.1:999", nil, "192.0.2.1"},
		{"header from a client", "192.0.2.1:999", []string{"203.0.113.9"}, "192.0.2.1"},
		{"one proxy", "10.1.2.3:999", []string{"203.0.113.9"}, "203.0.113.9"},
		{"header from a client through a proxy", "10.1.2.3:999", []string{"198.51.100.7, 203.0.113.9"}, "203.0.113.9"},
		{"two header lines", "10.1.2.3:999", []string{"198.51.100.7", "203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.1.2.3:999", []string{"198.51.100.7, 203.0.113.9, 192.168.7.7"}, "203.0.113.9"},
		{"untrusted second proxy", "10.1.2.3:999", []string{"203.0.113.9, 192.168.7.8"}, "192.168.7.8"},
		{"proxy without a header", "10.1.2.3:999", nil, "10.1.2.3"},
		{"request from a proxy", "10.1.2.3:999", []string{"10.9.9.9"}, "10.9.9.9"},
		{"invalid entry", "10.1.2.3:999", []string{"203.0.113.9, unknown"}, "10.1.2.3"},
		{"invalid entry of a client", "10.1.2.3:999", []string{"\x00<script>, 203.0.113.9"}, "203.0.113.9"},
		{"proxy's address from a client", "10.1.2.3:999", []string{"10.1.2.3, 203.0.113.9"}, "203.0.113.9"},
		{"proxy's address in IPv6 from a client", "10.1.2.3:999", []string{"::ffff:10.1.2.3, 203.0.113.9"}, "203.0.113.9"},
		{"empty header line", "10.1.2.3:999", []string{"203.0.113.9", ""}, "10.1.2.3"},
		{"many proxies", "10.1.2.3:999", []string{"203.0.113.9" + strings.Repeat(",10.0.0.1", 10_000)}, "203.0.113.9"},
		{"long entry", "10.1.2.3:999", []string{strings.Repeat("1", 100_000)}, "10.1.2.3"},
		{"IPv4 with a port", "10.1.2.3:999", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"IPv6 with a port", "10.1.2.3:999", []string{"[2001:db8:1:2:3:4:5:6]:4711"}, "2001:db8:1:2::/64"},
		{"IPv6", "[2001:db8:1:2:3:4:5:6]:999", nil, "2001:db8:1:2::/64"},
		{"same IPv6 network", "[2001:db8:1:2:ffff::1]:999", nil, "2001:db8:1:2::/64"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:999", nil, "192.0.2.1"},
		{"proxy as IPv4 in IPv6", "[::ffff:10.1.2.3]:999", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"zone", "[fe80::1%eth0]:999", nil, "fe80::/64"},
		{"zone in the header", "10.1.2.3:999", []string{"2001:db8::1%x"}, "2001:db8::/64"},
		{"zone that hides a proxy", "10.1.2.3:999", []string{"203.0.113.9, ::ffff:10.9.9.9%x"}, "203.0.113.9"},
		{"no address", "@", []string{"203.0.113.9"}, "invalid IP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var service config
			require.NoError(t, readProxies(&service, "10.0.0.0/8, 192.168.7.7,"))
			r := &http.Request{RemoteAddr: c.connected, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			require.Equal(t, c.want, network(service.peer(r)))
		})
	}
	var none config
	require.NoError(t, readProxies(&none, " , "))
	require.Empty(t, none.Proxies)
	require.Equal(t, netip.MustParseAddr("10.1.2.3"),
		config{}.peer(&http.Request{RemoteAddr: "10.1.2.3:999",
			Header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}))
}
