package sqltest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// A proxy is between a driver and its database. It reads the messages that the client sends,
// and decides about each what happens to it. A connection's first message is its opening, which the
// proxy makes up itself.
type proxy struct {
	source string // of the database by way of the proxy
	server string
	read   func(r *bufio.Reader, first bool) (message, error)

	mu      sync.Mutex
	decide  func(m message) verdict // nil: every message is forwarded
	held    int                     // messages and answers that are being held
	healed  chan struct{}           // closed by heal: what is held goes on
	broken  chan struct{}           // closed by cut: connections that hold something are closed
	closing bool
	conns   map[net.Conn]bool
	running sync.WaitGroup
}

// A message is one that a client sends.
type message struct {
	raw       []byte // as it is on the wire
	statement string // in a message that runs or prepares one
	opens     bool   // a new connection; there are no bytes yet
}

// A verdict is what happens to a message.
type verdict int

const (
	forward    verdict = iota
	hold               // the server does not get it until the proxy is healed
	holdAnswer         // the server gets it, and the client does not get the answer until the proxy is healed
)

// through opens a proxy to the database of a source.
func (d database) through(t testing.TB, source string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{conns: map[net.Conn]bool{}, healed: make(chan struct{}), broken: make(chan struct{})}
	address := listener.Addr().String()
	if d.dialect == sqlstore.MariaDB {
		before, after, _ := strings.Cut(source, "tcp(")
		server, after, _ := strings.Cut(after, ")")
		p.server, p.source, p.read = server, before+"tcp("+address+")"+after, readMariaDB
	} else {
		u, err := url.Parse(source)
		require.NoError(t, err)
		p.server, u.Host = u.Host, address
		query := u.Query()
		query.Set("sslmode", "disable") // the proxy reads what is sent
		u.RawQuery = query.Encode()
		p.source, p.read = u.String(), readPostgreSQL
	}
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

// track registers a connection, which is closed with the proxy. It reports whether the proxy runs.
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

// heal forwards what is held, and everything from now on.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = nil
	close(p.healed)
	p.healed = make(chan struct{})
}

// cut closes the connections that hold something, and forwards everything from now on.
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

// pass decides about a client's message. It returns when the message may be sent, with a channel
// that is closed when the answers may be; nil is now. It reports false if the connection is over.
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

// serve is one connection, until either side closes it or the proxy cuts it.
func (p *proxy) serve(client net.Conn) {
	defer p.close(client)
	gone := make(chan struct{}) // closed when the client is
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

// readMariaDB reads a packet: three bytes of length, a sequence number, and the payload. A command
// has the number 0; what logs in has others.
func readMariaDB(r *bufio.Reader, _ bool) (m message, err error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(r, header); err != nil {
		return m, err
	}
	payload, err := readRest(&m, r, header, int(header[0])|int(header[1])<<8|int(header[2])<<16)
	const query, prepare = 0x03, 0x16
	if header[3] == 0 && len(payload) > 0 && (payload[0] == query || payload[0] == prepare) {
		m.statement = string(payload[1:])
	}
	return m, err
}

// readPostgreSQL reads a message: a byte for its kind, except in a connection's first, four bytes
// of length that count themselves, and the payload.
func readPostgreSQL(r *bufio.Reader, first bool) (m message, err error) {
	header := make([]byte, 5)
	if first {
		header = header[:4]
	}
	if _, err := io.ReadFull(r, header); err != nil {
		return m, err
	}
	length := header[len(header)-4:]
	payload, err := readRest(&m, r, header, int(binary.BigEndian.Uint32(length))-len(length))
	if err != nil || first {
		return m, err
	}
	texts := strings.Split(string(payload), "\x00")
	switch {
	case header[0] == 'Q':
		m.statement = texts[0]
	case header[0] == 'P' && len(texts) > 1:
		m.statement = texts[1] // behind the name
	}
	return m, nil
}

func readRest(m *message, r io.Reader, header []byte, length int) (payload []byte, err error) {
	m.raw = append(header, make([]byte, length)...)
	payload = m.raw[len(header):]
	_, err = io.ReadFull(r, payload)
	return payload, err
}
