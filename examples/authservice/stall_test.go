package main

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/outbox"
	"github.com/stretchr/testify/require"
)

// TestLimits_Shutdown checks the sums that limits.go states.
func TestLimits_Shutdown(t *testing.T) {
	require.LessOrEqual(t, handlingTime+mailTime+outbox.CancelTime+closeTime, 30*time.Second)
	require.LessOrEqual(t, recoveryTime+answerTime, mailTime)
	server := newServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	require.Greater(t, server.ReadTimeout, server.ReadHeaderTimeout+requestTime)
	require.Greater(t, server.WriteTimeout, handlingTime)
}

// TestLimits_DatabaseStalls checks that a request is answered within the sum of its limits when the
// database accepts what it gets and never answers.
func TestLimits_DatabaseStalls(t *testing.T) {
	proxy := newProxy(t)
	short := limits{request: 2 * time.Second, answer: 300 * time.Millisecond, audit: 300 * time.Millisecond}
	s := newLimitedSite(t, proxy.url, short)
	s.register(email, password)
	for _, c := range []struct{ name, at, method, path string }{
		{"home page, any statement", "", "GET", "/"},
		{"sign-in, any statement", "", "POST", "/login"},
		{"registration, any statement", "", "POST", "/register"},
		{"sign-in, commit", "commit\x00", "POST", "/login"},
		{"registration, commit", "commit\x00", "POST", "/register"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := s.signedIn(email, password)
			proxy.stall(c.at)
			defer proxy.release()
			began := time.Now()
			if c.method == "GET" {
				b.open(c.path)
			} else {
				b.post(c.path, url.Values{"name": {"Bob"}, "email": {email}, "password": {password}})
			}
			took := time.Since(began)
			b.refused(http.StatusServiceUnavailable, "may not have been saved")
			require.NotZero(t, proxy.stalled(), "the database must have stalled")
			require.Less(t, took, short.request+short.answer+short.audit+short.answer+pageTime)
		})
	}
	s.signedIn(email, password) // it recovers
}

// TestLimits_ClientStalls checks that a request that does not arrive in time is no failure of the
// service: its body stalls, or it is complete when its time is over.
func TestLimits_ClientStalls(t *testing.T) {
	for name, c := range map[string]struct {
		time time.Duration // of the request
		form string        // of 9 bytes
	}{"stalls": {requestTime, "email="}, "late": {1, "email=abc"}} {
		t.Run(name, func(t *testing.T) {
			s := newLimitedSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), limits{c.time, answerTime, auditTime})
			handler, err := s.service.handler()
			require.NoError(t, err)
			server := httptest.NewUnstartedServer(handler)
			server.Config.ReadTimeout = 200 * time.Millisecond
			server.Start()
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			io.WriteString(conn, "POST /login HTTP/1.1\r\nHost: "+server.Listener.Addr().String()+"\r\nContent-Length: 9\r\n"+
				"Content-Type: application/x-www-form-urlencoded\r\n\r\n"+c.form)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			defer response.Body.Close()
			require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
			server.Close()
			require.Len(t, s.log.lines("level=INFO", "msg=request", "path=/login", "status=408"), 1)
			require.Empty(t, s.log.lines("level=ERROR"))
		})
	}
}

// TestOpen_NoLocks checks that the service does not start on a server that ignores the identity
// lock.
func TestOpen_NoLocks(t *testing.T) {
	proxy := newProxy(t)
	proxy.rewrite("pg_advisory_xact_lock", "abs                  ")
	c, err := readConfig(environment(proxy.url))
	require.NoError(t, err)
	c.PublicURL, c.Development = "http://127.0.0.1:8080", true
	a, err := open(t.Context(), c, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "verify the identity lock")
	require.Empty(t, a.closers, "everything is closed")
}

// A proxy is between the service and PostgreSQL.
type proxy struct {
	url    string // of a new database, through the proxy
	server string
	from   []byte // replaced by to, which is as long
	to     []byte

	mu    sync.Mutex
	on    bool
	at    string     // with on, a connection stalls when the client sends this
	conns []net.Conn // those that have stalled
}

func newProxy(t *testing.T) *proxy {
	database, err := url.Parse(newPostgreSQL(t))
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{server: database.Host}
	if database.Port() == "" {
		p.server = net.JoinHostPort(database.Hostname(), "5432")
	}
	database.Host = l.Addr().String()
	query := database.Query()
	query.Set("sslmode", "disable") // the proxy reads the statements
	database.RawQuery = query.Encode()
	p.url = database.String()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	go func() {
		io.Copy(client, server)
		client.Close()
	}()
	chunk := make([]byte, 64<<10)
	for {
		n, err := client.Read(chunk)
		if err != nil {
			server.Close()
			return
		}
		if p.holds(chunk[:n], client, server) {
			return
		}
		server.Write(p.rewritten(chunk[:n])) // an error ends the copying above
	}
}

// holds reports whether a connection stalls. If so, nothing is forwarded anymore.
func (p *proxy) holds(chunk []byte, client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on || !bytes.Contains(chunk, []byte(p.at)) {
		return false
	}
	p.conns = append(p.conns, client, server)
	return true
}

// stall makes each connection stall when the client sends at, or anything if at is empty.
func (p *proxy) stall(at string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on, p.at = true, at
}

func (p *proxy) stalled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// release ends the connections that have stalled, and lets the others go on.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.on, p.conns = false, nil
}

// rewrite replaces a part of the statements. It is called before the first connection.
func (p *proxy) rewrite(from, to string) { p.from, p.to = []byte(from), []byte(to) }

func (p *proxy) rewritten(chunk []byte) []byte {
	if len(p.from) == 0 {
		return chunk
	}
	return bytes.ReplaceAll(chunk, p.from, p.to)
}
