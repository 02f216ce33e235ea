package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// forbidden are addresses that must not be called.
var forbidden = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3",
	"127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1",
	"172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255",
	"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
	"255.255.255.255",
	"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1",
	"::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1",
	"64:ff9b:1::127.0.0.1", "100::1", "2001::1", "2001:0:7f00:1::1", "2001:db8::1", "2001:10::1", "2002:7f00:1::",
	"2002:a9fe:a9fe::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254",
	"fd20:ce::254", "fe80::1", "fe80::a9fe:a9fe", "fec0::1", "ff02::1", "ff05::1:3",
}

// misread are hosts that some systems read as a forbidden address.
var misread = []string{
	"2130706433", "017700000001", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "0177.1", "127.1", "127.0.1",
	"127.0.0.01", "0", "0x0", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "10.1", "127.0.0.1.",
	"127.0.0.0x1", "[::ffff:127.0.0.1%25lo]", "[fe80::1%25eth0]", "[::1%25lo]",
}

// A names is a DNS server. It answers a name with one set of addresses after the other, and repeats
// the last.
type names struct {
	mu   sync.Mutex
	sets map[string][][]string
}

// resolver returns a resolver that asks the server.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
}

// serve answers the queries on one connection. A net.Pipe is no packet connection, so that messages
// have their length before them, as in TCP.
func (n *names) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := readFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := readFull(c, query); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(query) != nil || len(m.Questions) != 1 {
			return
		}
		answer, err := n.answer(m)
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...)); err != nil {
			return
		}
	}
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = c.Read(b[n:])
		n += k
	}
	return n, err
}

func (n *names) answer(m dnsmessage.Message) ([]byte, error) {
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	for _, text := range n.lookup(strings.TrimSuffix(q.Name.String(), "."), q.Type) {
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET}
		addr := netip.MustParseAddr(text)
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers,
				dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return m.Pack()
}

// lookup returns the addresses of a name. A lookup asks for both types; the A query is the one that
// moves on to the next set.
func (n *names) lookup(name string, kind dnsmessage.Type) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	sets := n.sets[name]
	if len(sets) == 0 {
		return nil
	}
	if kind == dnsmessage.TypeA && len(sets) > 1 {
		n.sets[name] = sets[1:]
	}
	return sets[0]
}

// A dialed records the addresses that the guard has let through. None of them is connected to.
type dialed struct {
	mu        sync.Mutex
	addresses []string
}

var errDialed = errors.New("dialed")

func (d *dialed) connect(address string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addresses = append(d.addresses, address)
	return errDialed
}

func (d *dialed) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	addresses := d.addresses
	d.addresses = nil
	return addresses
}

// call runs a gate for a URL, which may not even load.
func (d *dialed) call(t *testing.T, opts webhook.Options, dns *names, url string) (loaded bool, err error) {
	hooks := newHooks(t, opts)
	hooks.Dial(dns.resolver(), d.connect)
	text := loginFile("before", fmt.Sprintf("config: {url: %q, attempts: 2, mode: gate}", url))
	if problem := loadError(t, hooks, text); problem != "" {
		return false, errors.New(problem)
	}
	got := login(pipeline(t, hooks, text))
	require.ErrorIs(t, got.Err, webhook.ErrUnavailable, url)
	return true, got.Err
}

// TestSSRF_Targets calls forbidden addresses, written in the URL and behind a name, with and
// without Insecure.
func TestSSRF_Targets(t *testing.T) {
	dns := &names{sets: map[string][][]string{"localhost.test": {{"127.0.0.1", "::1"}}}}
	var urls []string
	for i, address := range forbidden {
		host := address
		if strings.Contains(address, ":") {
			host = "[" + address + "]"
		}
		name := fmt.Sprintf("forbidden-%d.test", i)
		if host == address {
			name = "v4-" + name
		}
		dns.sets[name] = [][]string{{address}}
		urls = append(urls, "https://"+host+"/", "https://"+name+"/", "http://"+name+":8080/")
	}
	for _, host := range append(misread, "localhost", "localhost.test", "LOCALHOST", "localhost.") {
		urls = append(urls, "https://"+host+"/", "http://"+host+"/")
	}
	urls = append(urls, "https://user@public.test/", "https://user:password@public.test/", "https://a@127.0.0.1/",
		"https://public.test#@127.0.0.1/", "https://127.0.0.1\\@public.test/", "file:///etc/passwd",
		"gopher://127.0.0.1/", "//127.0.0.1/", "https:///", "https://:443/", "https://[::]:443/")
	require.Greater(t, len(urls), 60)
	for _, insecure := range []bool{false, true} {
		d, loaded := &dialed{}, 0
		for _, url := range urls {
			ok, err := d.call(t, webhook.Options{Insecure: insecure}, dns, url)
			require.Error(t, err, url)
			require.Empty(t, d.take(), "%s: %v", url, err)
			if ok {
				loaded++
			}
			if ok && strings.Contains(url, "v4-forbidden") {
				require.ErrorIs(t, err, webhook.ErrRejected, "it was looked up")
			}
		}
		require.Greater(t, loaded, len(forbidden), "names are looked up")
		t.Logf("insecure: %t: %d targets, %d of them refused at dial time, none dialed", insecure, len(urls), loaded)
	}
}

// TestSSRF_Public asserts that the guard lets public addresses through, so that the tests above can
// fail.
func TestSSRF_Public(t *testing.T) {
	dns := &names{sets: map[string][][]string{"public.test": {{"93.184.215.14", "2606:2800:21f:cb07::1"}}}}
	d := &dialed{}
	for _, url := range []string{"https://public.test/", "https://93.184.215.14/", "https://[2606:4700::1111]/"} {
		_, err := d.call(t, webhook.Options{}, dns, url)
		require.NotErrorIs(t, err, webhook.ErrRejected)
		require.NotEmpty(t, d.take(), url)
	}
}

// TestSSRF_TwoAddresses asserts that only the public address of a name is dialed.
func TestSSRF_TwoAddresses(t *testing.T) {
	dns := &names{sets: map[string][][]string{"two.test": {{"127.0.0.1", "93.184.215.14", "fd00::1"}}}}
	d := &dialed{}
	_, err := d.call(t, webhook.Options{}, dns, "https://two.test/")
	require.Error(t, err)
	addresses := d.take()
	require.NotEmpty(t, addresses)
	for _, a := range addresses {
		require.Equal(t, "93.184.215.14:443", a)
	}
}

// TestSSRF_Rebinding asserts that a name is checked at each attempt.
func TestSSRF_Rebinding(t *testing.T) {
	dns := &names{sets: map[string][][]string{"rebind.test": {{"93.184.215.14"}, {"127.0.0.1"}}}}
	d := &dialed{}
	_, err := d.call(t, webhook.Options{}, dns, "https://rebind.test/")
	require.ErrorIs(t, err, webhook.ErrRejected, "the second attempt")
	require.Equal(t, []string{"93.184.215.14:443"}, d.take())
}

// TestSSRF_Redirect answers with redirects, which are not followed.
func TestSSRF_Redirect(t *testing.T) {
	second := receive(t, nil)
	for _, to := range []string{second.URL, "https://169.254.169.254/", "http://127.0.0.1/", "/elsewhere"} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			var served atomic.Int64
			r := receive(t, func(w http.ResponseWriter, req *http.Request) {
				served.Add(1)
				http.Redirect(w, req, to, code)
			})
			hooks := r.hooks(t, func(o *webhook.Options) { o.Ports = append(o.Ports, second.port(t)) })
			got := login(pipeline(t, hooks, loginFile("before", r.entry("mode: gate"))))
			require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
			require.EqualValues(t, 1, served.Load())
			require.Empty(t, second.take())
		}
	}
}

// TestSSRF_Proxy asserts that a proxy is ignored, even one in Options.Client.
func TestSSRF_Proxy(t *testing.T) {
	proxy := receive(t, nil)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	r := receive(t, nil)
	for name, change := range map[string]func(t *http.Transport){
		"environment": func(t *http.Transport) { t.Proxy = http.ProxyFromEnvironment },
		"dialer": func(t *http.Transport) {
			dial := func(string, string) (net.Conn, error) { return net.Dial("tcp", proxy.Listener.Addr().String()) }
			t.Dial, t.DialTLS = dial, dial //lint:ignore SA1019 a client may have them
			t.DialTLSContext = func(context.Context, string, string) (net.Conn, error) { return dial("", "") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := r.Client()
			transport := client.Transport.(*http.Transport).Clone()
			change(transport)
			hooks := r.hooks(t, func(o *webhook.Options) { o.Client = &http.Client{Transport: transport} })
			require.NoError(t, login(pipeline(t, hooks, loginFile("before", r.entry("mode: gate")))).Err)
			require.Len(t, r.take(), 1)
			require.Empty(t, proxy.take())
		})
	}
	d := &dialed{}
	dns := &names{sets: map[string][][]string{"p.test": {{"10.0.0.1"}}}}
	_, err := d.call(t, webhook.Options{}, dns, "https://p.test/")
	require.Error(t, err)
	require.Empty(t, d.take())
	require.Empty(t, proxy.take())
}

// TestSSRF_Client asserts that the guard stays on with a client of the host's.
func TestSSRF_Client(t *testing.T) {
	r := receive(t, nil)
	hooks := newHooks(t, webhook.Options{Insecure: true, Client: r.Client()})
	text := loginFile("before", fmt.Sprintf("config: {url: %q, mode: gate}", "https://localhost:"+fmt.Sprint(r.port(t))))
	require.ErrorIs(t, login(pipeline(t, hooks, text)).Err, webhook.ErrRejected)
	require.Empty(t, r.take())
}

// TestSSRF_Allow asserts that Allow opens exactly the addresses that it names.
func TestSSRF_Allow(t *testing.T) {
	opts := webhook.Options{Allow: []netip.Prefix{
		netip.MustParsePrefix("10.1.2.3/16"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("fd00:1::/32"),
	}, Ports: []uint16{443, 8443}}
	dns := &names{sets: map[string][][]string{}}
	d := &dialed{}
	for i, c := range []struct {
		address, port string
		open          bool
	}{
		{"10.1.0.0", "443", true}, {"10.1.255.255", "8443", true}, {"10.0.255.255", "443", false},
		{"10.2.0.0", "443", false}, {"127.0.0.1", "443", true}, {"127.0.0.2", "443", false},
		{"fd00:1::1", "443", true}, {"fd00:1:ffff::1", "443", true}, {"fd00:2::1", "443", false}, {"::1", "443", false},
		{"64:ff9b::10.1.0.1", "443", false}, {"192.168.0.1", "443", false}, {"10.1.0.1", "80", false},
		{"93.184.215.14", "443", true}, {"93.184.215.14", "80", false}, {"93.184.215.14", "22", false},
	} {
		for _, host := range []string{c.address, fmt.Sprintf("allow-%d.test", i)} {
			dns.sets[host] = [][]string{{c.address}}
			_, err := d.call(t, opts, dns, "https://"+net.JoinHostPort(host, c.port)+"/")
			require.Error(t, err)
			require.Equal(t, c.open, len(d.take()) > 0, "%s %s: %v", host, c.port, err)
		}
	}
}

func TestNew_Errors(t *testing.T) {
	for name, c := range map[string]struct {
		opts webhook.Options
		text string
	}{
		"zero network": {webhook.Options{Allow: []netip.Prefix{{}}}, "Options.Allow[0] is not a network"},
		"mapped network": {webhook.Options{Allow: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
			"write it as IPv4"},
		"port 0":            {webhook.Options{Ports: []uint16{443, 0}}, "port 0"},
		"foreign transport": {webhook.Options{Client: &http.Client{Transport: foreign{}}}, "webhook_test.foreign"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.New(c.opts)
			require.ErrorContains(t, err, c.text)
		})
	}
	_, err := webhook.New(webhook.Options{Client: &http.Client{}})
	require.NoError(t, err, "a client without a transport")
}

type foreign struct{ http.RoundTripper }
