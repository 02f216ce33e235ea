package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"code.dny.dev/ssrf"
)

// azureWire is a metadata service of Azure. It has a public address:
// https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
var azureWire = netip.MustParsePrefix("168.63.129.16/32")

// newGuard returns what decides, for each address that a connection is made to, whether it may be.
func newGuard(opts Options) (*ssrf.Guardian, error) {
	var v4, v6 []netip.Prefix
	for i, p := range opts.Allow {
		switch {
		case !p.IsValid():
			return nil, fmt.Errorf("webhook: Options.Allow[%d] is not a network; use netip.ParsePrefix", i)
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("webhook: Options.Allow[%d] is %q, an IPv4 network written as IPv6; write it as IPv4", i, p)
		case p.Addr().Is4():
			v4 = append(v4, p.Masked())
		default:
			v6 = append(v6, p.Masked())
		}
	}
	if slices.Contains(opts.Ports, 0) {
		return nil, errors.New("webhook: Options.Ports has port 0; leave Ports empty for port 443")
	}
	ports := ssrf.WithPorts(443)
	if opts.Insecure {
		ports = ssrf.WithAnyPort()
	} else if len(opts.Ports) > 0 {
		ports = ssrf.WithPorts(slices.Clone(opts.Ports)...)
	}
	return ssrf.New(ports, ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...),
		ssrf.WithDeniedV4Prefixes(azureWire)), nil
}

// newDialer returns a dialer that asks the guard about each address, after DNS.
func newDialer(guard *ssrf.Guardian) *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: guard.Safe}
}

// newClient returns a client of the dialer. It ignores proxies, which would dial in its place, and
// never follows a redirect.
func newClient(from *http.Client, dialer *net.Dialer) (*http.Client, error) {
	t := &http.Transport{IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second}
	if from != nil && from.Transport != nil {
		given, ok := from.Transport.(*http.Transport)
		if !ok {
			return nil, fmt.Errorf("webhook: the Transport of Options.Client is a %T, which cannot be guarded; "+
				"use an *http.Transport", from.Transport)
		}
		t = given.Clone()
	}
	t.Proxy, t.DialContext, t.DialTLSContext = nil, dialer.DialContext, nil
	t.Dial, t.DialTLS = nil, nil //lint:ignore SA1019 a client of the host may have them, and they would win
	t.OnProxyConnectResponse, t.GetProxyConnectHeader, t.ProxyConnectHeader = nil, nil, nil
	if t.TLSNextProto["h2"] != nil { // the original's, with connections that no guard has seen
		t.TLSNextProto = nil
	}
	t.ForceAttemptHTTP2 = true
	t.DisableCompression = true
	t.MaxIdleConnsPerHost = 32
	t.MaxResponseHeaderBytes = maxResponse
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
