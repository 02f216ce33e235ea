package proxy_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
)

// A server records the messages of PostgreSQL that it gets, by their kinds, and answers each S and
// Q. The message that opens a connection is "-".
type server struct {
	net.Listener
	mu  sync.Mutex
	got string
}

func (s *server) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func (s *server) note(kind byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got += string(kind)
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for kind := byte('-'); ; {
		length := make([]byte, 4)
		if _, err := io.ReadFull(r, length); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(length)-4)
		io.ReadFull(r, payload)
		s.note(kind)
		if kind == '-' || kind == 'S' || kind == 'Q' {
			c.Write(append(message('C', "done"), message('Z', "I")...))
		}
		var err error
		if kind, err = r.ReadByte(); err != nil {
			return
		}
	}
}

func message(kind byte, payload string) []byte {
	return append([]byte{kind}, start(payload)...)
}

func start(payload string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload)+4)), payload...)
}

// answer is what the server sends for a message that it answers.
var answer = string(message('C', "done")) + string(message('Z', "I"))

func open(t *testing.T) (*proxy.Proxy, *server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{Listener: listener}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	p, err := proxy.Open(proxy.PostgreSQL, listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { p.Close(); listener.Close() })
	return p, s
}

// A client is a connection to the proxy.
type client struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, p *proxy.Proxy) client {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	client := client{c, t}
	client.send(start("user"))
	client.requireAnswers(1)
	return client
}

func (c client) send(b []byte) {
	c.t.Helper()
	_, err := c.Write(b)
	require.NoError(c.t, err)
}

func (c client) requireAnswers(n int) {
	c.t.Helper()
	for range n {
		got := make([]byte, len(answer))
		_, err := io.ReadFull(c, got)
		require.NoError(c.t, err)
		require.Equal(c.t, answer, string(got))
	}
}

func (c client) requireCut() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 1))
	require.Zero(c.t, n)
	require.Error(c.t, err)
	require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded)
}
