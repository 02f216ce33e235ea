package redislimit_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/store/memstore"
)

// A link is a connection to Redis that can be cut and stalled.
type link struct {
	listener net.Listener
	server   string
	stalled  atomic.Bool

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func newLink(t *testing.T, server string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{listener: listener, server: server}
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		l.set(true)
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.pass(c)
		}
	}()
	return l
}

// pass connects a client to the server, or closes its connection if the link is cut.
func (l *link) pass(client net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		_ = client.Close()
		return
	}
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		_ = client.Close()
		return
	}
	l.conns = append(l.conns, client, server)
	go func() { _, _ = io.Copy(server, client) }()
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			if !l.stalled.Load() { // else the answer is lost
				_, _ = client.Write(buffer[:n])
			}
		}
	}()
}

// set cuts the link, or repairs it.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.conns = nil
	}
}

// counter counts the commands of a client.
type counter struct{ n atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

const file = `selfservice:
  flows:
    login:
      before:
        hooks:
          - hook: rate_limit
            config:
              limits:
                - {by: pair, tries: 5, every: 1h}
                - {by: account, tries: 50, every: 1h}
                - {by: client, tries: 50, every: 1h}
      after:
        hooks:
          - hook: rate_limit
`

// serve serves a login with a limiter. It returns a function that signs in and returns the status.
func serve(t *testing.T, limiter ratelimit.Limiter, log *slog.Logger) (login func(password string) int) {
	t.Helper()
	limit, err := ratelimit.New(ratelimit.Options{Limiter: limiter, Logger: log,
		Key: func(_ context.Context, x *flowhook.Exchange) (ratelimit.Keys, error) {
			return ratelimit.Keys{Client: "192.0.2.1", Account: x.Request.PostFormValue("email")}, nil
		}})
	require.NoError(t, err)
	cfg, err := flowhook.ParseConfig([]byte(file))
	require.NoError(t, err)
	pipeline, err := flowhook.New(cfg, flowhook.Options{Store: memstore.New(), Logger: log,
		Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory}})
	require.NoError(t, err)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("password") != "right" {
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		flowhook.MustFromContext(r.Context()).Identity = &flowhook.Identity{ID: "alice"}
		if _, err := pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, nil); err != nil {
			pipeline.AnswerError(w, r, err)
		}
	}
	server := httptest.NewServer(pipeline.Middleware(flowhook.Login)(http.HandlerFunc(handler)))
	t.Cleanup(server.Close)
	return func(password string) int {
		t.Helper()
		res, err := server.Client().Post(server.URL, "application/x-www-form-urlencoded",
			strings.NewReader("email=alice&password="+password))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, res.StatusCode == http.StatusTooManyRequests, res.Header.Get("Retry-After") != "")
		return res.StatusCode
	}
}

// A failed or refused attempt is one command, and a successful one two.
func TestLimiter_RoundTrips(t *testing.T) {
	client, prefix := connect(t, options(t))
	commands := &counter{}
	client.AddHook(commands)
	login := serve(t, limiterOf(t, client, prefix), slog.New(slog.DiscardHandler))
	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	for _, c := range []struct {
		password         string
		status, commands int
	}{{"right", 200, 2}, {"wrong", 401, 1}, {"right", 200, 2}, {"wrong", 401, 1}, {"wrong", 401, 1}, {"wrong", 401, 1},
		{"wrong", 401, 1}, {"wrong", 429, 1}, {"right", 429, 1}} {
		commands.n.Store(0)
		require.Equal(t, c.status, login(c.password))
		require.EqualValues(t, c.commands, commands.n.Load(), "%+v", c)
	}
}

// While Redis is away or does not answer, requests pass and that is logged. When it is back, it
// limits again, and knows what it knew before.
func TestLimiter_Outage(t *testing.T) {
	o := options(t)
	l := newLink(t, o.Addr)
	o.Addr = l.listener.Addr().String()
	client, prefix := connect(t, o)
	var out strings.Builder
	login := serve(t, limiterOf(t, client, prefix), slog.New(slog.NewTextHandler(&out, nil)))

	require.Equal(t, 200, login("right"))
	for range 3 {
		require.Equal(t, 401, login("wrong"))
	}
	require.Empty(t, out.String())
	l.set(true)
	for range 10 {
		require.Equal(t, 401, login("wrong"))
	}
	require.Equal(t, 200, login("right"))
	require.Equal(t, 11, strings.Count(out.String(), "level=ERROR msg=\"ratelimit: the limiter failed"))

	out.Reset()
	l.set(false)
	require.Equal(t, 401, login("wrong"))
	require.Empty(t, out.String(), "Redis is back")
	l.stalled.Store(true)
	began := time.Now()
	require.Equal(t, 401, login("wrong"))
	took := time.Since(began)
	require.GreaterOrEqual(t, took, ratelimit.DefaultTimeout)
	require.Less(t, took, 2*time.Second, "well below the timeouts of the client")
	require.Equal(t, 1, strings.Count(out.String(), "level=ERROR"))

	l.set(true) // the stalled connections end
	l.stalled.Store(false)
	l.set(false)
	require.Equal(t, 429, login("right"), "the attempt whose answer was lost counts")
}
