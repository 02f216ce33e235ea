package redislimit_test

import (
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/testkit"
)

// run starts a Redis of the test's own at an address, and returns a function that kills it.
func run(t *testing.T, addr string) (kill func()) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		testkit.Missing(t, "there is no redis-server in the PATH")
	}
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	cmd := exec.Command(path, "--bind", host, "--port", port, "--save", "", "--appendonly", "no")
	cmd.Dir = t.TempDir()
	require.NoError(t, cmd.Start())
	ended := false
	kill = func() {
		if !ended {
			ended = true
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait() // "signal: killed"
		}
	}
	t.Cleanup(kill)
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	deadline := time.Now().Add(20 * time.Second)
	for client.Ping(t.Context()).Err() != nil { // which waits between its attempts to connect
		require.True(t, time.Now().Before(deadline), "Redis does not answer at %s", addr)
	}
	return kill
}

// While Redis is stopped, requests pass. After a restart, it limits again, and has forgotten the
// attempts.
func TestLimiter_Restart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	kill := run(t, addr)
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	var out strings.Builder
	login := serve(t, limiterOf(t, client, ""), slog.New(slog.NewTextHandler(&out, nil)))

	for range 5 {
		require.Equal(t, 401, login("wrong"))
	}
	require.Equal(t, 429, login("right"))
	kill()
	for range 3 {
		require.Equal(t, 401, login("wrong"))
	}
	require.Equal(t, 200, login("right"))
	require.Equal(t, 4, strings.Count(out.String(), "level=ERROR"))

	run(t, addr)
	out.Reset()
	for range 5 {
		require.Equal(t, 401, login("wrong"))
	}
	require.Equal(t, 429, login("right"))
	require.NotContains(t, out.String(), "level=ERROR")
}
