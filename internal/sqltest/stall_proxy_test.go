package sqltest

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A proxy forwards the connections of a driver to its database. It reads each message of the client
// and decides what happens to it. The first message of a connection has no bytes; the proxy creates
// it when the connection opens.
type proxy struct {
	source string // of the database by way of the proxy
	server string
	read   func(r *bufio.Reader, first bool) (message, error)

	mu      sync.Mutex
	decide  func(m message) verdict // nil forwards every message
	held    int                     // messages and answers that are being held
	healed  chan struct{}           // closed by heal to release what is held
	broken  chan struct{}           // closed by cut to close connections that hold something
	closing bool
	conns   map[net.Conn]bool
	running sync.WaitGroup
}

// A message is a message of a client.
type message struct {
	raw       []byte // as sent
	statement string // that the message runs or prepares
	opens     bool   // opens a connection, without bytes
}

// A verdict is what the proxy does with a message.
type verdict int

const (
	forward    verdict = iota
	hold               // hold the message back until the proxy is healed
	holdAnswer         // forward the message, but hold its answer back until the proxy is healed
)

// through opens a proxy to the database of a source.
func (d database) through(t testing.TB, source string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{
		read: d.readMessage, conns: map[net.Conn]bool{}, healed: make(chan struct{}), broken: make(chan struct{}),
	}
	p.server, p.source = d.redirect(t, source, listener.Addr().String())
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if p.track(client) {
				p.running.Go(func() { p.serve(client) })
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		p.closing = true
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// track registers a connection, so that it is closed with the proxy. It returns false if the proxy
// is closed already.
func (p *proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) close(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// stall applies v to every message that runs or prepares the statement.
func (p *proxy) stall(v verdict, statement string) {
	p.on(func(m message) verdict {
		if strings.EqualFold(m.statement, statement) {
			return v
		}
		return forward
	})
}

// on replaces the function that decides about messages.
func (p *proxy) on(decide func(m message) verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = decide
}

// heal releases what is held and forwards everything from now on.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = nil
	close(p.healed)
	p.healed = make(chan struct{})
}

// cut closes the connections that hold something and forwards everything from now on.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = nil
	close(p.broken)
	p.broken = make(chan struct{})
}

// holds returns how many messages and answers are being held.
func (p *proxy) holds() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// pass decides about a client's message and returns when the message may be sent. The channel is
// closed when the answers may be sent; nil means at once. ok is false if the connection is over.
func (p *proxy) pass(m message, client net.Conn, gone <-chan struct{}) (answers <-chan struct{}, ok bool) {
	p.mu.Lock()
	v := forward
	if p.decide != nil {
		v = p.decide(m)
	}
	healed, broken := p.healed, p.broken
	if v != forward {
		p.held++
	}
	p.mu.Unlock()
	if v == forward {
		return nil, true
	}
	wait := func() bool {
		defer func() {
			p.mu.Lock()
			p.held--
			p.mu.Unlock()
		}()
		select {
		case <-healed:
			return true
		case <-broken:
		case <-gone:
		}
		return false
	}
	if v == hold {
		return nil, wait()
	}
	released := make(chan struct{})
	p.running.Go(func() {
		if wait() {
			close(released)
		} else {
			client.Close()
		}
	})
	return released, true
}

// serve forwards one connection until either side closes it or the proxy cuts it.
func (p *proxy) serve(client net.Conn) {
	defer p.close(client)
	gone := make(chan struct{}) // closed with the client's connection
	messages := make(chan message, 64)
	p.running.Go(func() {
		defer close(gone)
		defer close(messages)
		r := bufio.NewReader(client)
		for first := true; ; first = false {
			m, err := p.read(r, first)
			if err != nil {
				return
			}
			messages <- m
		}
	})
	if _, ok := p.pass(message{opens: true}, client, gone); !ok {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil || !p.track(server) {
		return
	}
	defer p.close(server)

	var mu sync.Mutex
	var answers <-chan struct{} // nil, or closed once the answers may be sent
	p.running.Go(func() {
		defer client.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			mu.Lock()
			wait := answers
			mu.Unlock()
			if wait != nil {
				select {
				case <-wait:
				case <-gone:
					return
				}
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	for m := range messages {
		wait, ok := p.pass(m, client, gone)
		if !ok {
			return
		}
		if wait != nil {
			mu.Lock()
			answers = wait
			mu.Unlock()
		}
		if _, err := server.Write(m.raw); err != nil {
			return
		}
	}
}

// readRest reads the payload of a message and sets the message's raw bytes.
func readRest(m *message, r io.Reader, header []byte, length int) (payload []byte, err error) {
	m.raw = append(header, make([]byte, length)...)
	payload = m.raw[len(header):]
	_, err = io.ReadFull(r, payload)
	return payload, err
}
