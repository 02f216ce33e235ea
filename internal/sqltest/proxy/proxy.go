// Package proxy has a proxy between a database driver and its server, for tests. The proxy reads
// each message of the client and can delay it, hold it, or cut the connection before or after the
// server has answered. It counts round trips.
package proxy

import (
	"net"
	"sync"
)

// A Proxy forwards the connections of a driver to its database. TLS must be off. It is safe for
// concurrent use.
type Proxy struct {
	protocol Protocol
	server   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	decide  func(m Message) Verdict
	trips   int
	held    int           // messages and answers that are being held
	healed  chan struct{} // closed by Heal to release what is held
	broken  chan struct{} // closed by Cut to close the connections that hold something
	closing bool
	conns   map[net.Conn]bool
}

// Open returns a proxy to the server at a TCP address, which listens on a port of its own on
// 127.0.0.1. At first it forwards every message.
func Open(p Protocol, server string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	proxy := &Proxy{protocol: p, server: server, listener: listener, conns: map[net.Conn]bool{},
		healed: make(chan struct{}), broken: make(chan struct{})}
	proxy.running.Go(proxy.accept)
	return proxy, nil
}

// Address returns the TCP address that the proxy listens on.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close closes all connections and returns when all goroutines of the proxy have ended.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	p.closing = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// On makes decide choose what happens to each message from now on; nil forwards all. decide is
// called for one message at a time and must not call the proxy.
func (p *Proxy) On(decide func(m Message) Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = decide
}

// Heal releases what is held and forwards every message from now on.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = nil
	close(p.healed)
	p.healed = make(chan struct{})
}

// Cut closes the connections that hold something and forwards every message from now on.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = nil
	close(p.broken)
	p.broken = make(chan struct{})
}

// Held returns how many messages and answers are being held.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// RoundTrips returns how often the server has answered messages of a client, since Open. Messages
// that the client sent at once count as one round trip, even if the server answers each of them.
// Opening a connection counts, too.
func (p *Proxy) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

func (p *Proxy) countTrip() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trips++
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.track(client) {
			p.running.Go(func() { newLink(p, client).serve() })
		}
	}
}

// track registers a connection, so that it is closed with the proxy. It returns false if the proxy
// is closed already.
func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// judge returns what happens to a message.
func (p *Proxy) judge(m Message) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.decide == nil || m.Kind == Closes || m.Kind == Cancels {
		return Verdict{}
	}
	v := p.decide(m)
	v.healed, v.broken = p.healed, p.broken
	return v
}

// wait holds something until the proxy is healed. It returns false if the connection is over.
func (p *Proxy) wait(v Verdict, gone <-chan struct{}) bool {
	p.hold(1)
	defer p.hold(-1)
	select {
	case <-v.healed:
		return true
	case <-v.broken:
	case <-gone:
	}
	return false
}

func (p *Proxy) hold(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held += n
}
