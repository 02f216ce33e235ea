package ratelimit_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/store/memstore"
)

// The functions up to knowsDevice are those of docs/ratelimit.md, unchanged.

// keys returns what a request counts on.
func keys(ctx context.Context, x *flowhook.Exchange) (ratelimit.Keys, error) {
	account := strings.ToLower(strings.TrimSpace(x.Request.PostFormValue("email")))
	k := ratelimit.Keys{Client: network(x.Request), Account: account}
	if cookie, err := x.Request.Cookie("__Host-device"); err == nil {
		known, err := knowsDevice(ctx, account, cookie.Value)
		if err != nil {
			return k, err
		}
		if known {
			k.Device = cookie.Value
		}
	}
	return k, nil
}

// network returns the network that a single client controls: an IPv4 address or an IPv6 /64.
func network(r *http.Request) string {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	if ip := address.Addr().Unmap(); ip.Is6() {
		return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
	}
	return address.Addr().Unmap().String()
}

func newPipeline(cfg *flowhook.Config, store flowhook.Store) (*flowhook.Pipeline, error) {
	limit, err := ratelimit.New(ratelimit.Options{Key: keys})
	if err != nil {
		return nil, err
	}
	return flowhook.New(cfg, flowhook.Options{
		Store: store,
		Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory},
	})
}

func onError(pipeline func() *flowhook.Pipeline) func(w http.ResponseWriter, r *http.Request, err error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		var exceeded *ratelimit.Exceeded
		if errors.As(err, &exceeded) {
			slog.WarnContext(r.Context(), "too many attempts", "at", exceeded.Name, "by", exceeded.By)
		}
		pipeline().AnswerError(w, r, err)
	}
}

func knowsDevice(_ context.Context, account, device string) (bool, error) {
	return account == "alice" && device == "phone", nil
}

// blocks returns the code blocks of the page in a language.
func blocks(t *testing.T, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/ratelimit.md")
	require.NoError(t, err)
	for i, part := range strings.Split("\n"+string(text), "\n```") {
		if code, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			found = append(found, code+"\n")
		}
	}
	require.NotEmpty(t, found)
	return found
}

// The Go of docs/ratelimit.md is in this file and in one of redislimit, byte for byte.
func TestPage_Go(t *testing.T) {
	var compiled strings.Builder
	for _, name := range []string{"page_test.go", "redislimit/page_test.go"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		compiled.Write(text)
	}
	for _, code := range blocks(t, "go") {
		require.Contains(t, compiled.String(), "\n\n"+code+"\n")
	}
}

// The YAML of docs/ratelimit.md loads, and there is nothing to find in it.
func TestPage_YAML(t *testing.T) {
	for _, text := range blocks(t, "yaml") {
		cfg := parse(t, text)
		limit, err := ratelimit.New(ratelimit.Options{Key: keys})
		require.NoError(t, err)
		require.Empty(t, cfg.Check(flowhook.Options{Store: memstore.New(), Issue: issue,
			Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory}}), text)
		_, err = newPipeline(cfg, memstore.New())
		require.NoError(t, err)
	}
}

// The table of rules has all of them.
func TestPage_Rules(t *testing.T) {
	page, err := os.ReadFile("../../docs/ratelimit.md")
	require.NoError(t, err)
	code, err := os.ReadFile("config.go")
	require.NoError(t, err)
	found := regexp.MustCompile(`Rule: "([a-z-]+)"`).FindAllStringSubmatch(string(code), -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		require.Contains(t, string(page), "| `rate_limit/"+m[1]+"` |")
	}
	require.Equal(t, len(found), strings.Count(string(page), "| `rate_limit/"))
}

func issue(context.Context, *flowhook.Exchange) error { return nil }

// The functions of the page do what it says.
func TestPage_Login(t *testing.T) {
	var log strings.Builder
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	limit, err := ratelimit.New(ratelimit.Options{Key: keys})
	require.NoError(t, err)
	var pipeline *flowhook.Pipeline
	pipeline, err = flowhook.New(parse(t, blocks(t, "yaml")[0]), flowhook.Options{
		OnError: onError(func() *flowhook.Pipeline { return pipeline }),
		Hooks:   map[string]flowhook.HookFactory{"rate_limit": limit.Factory},
	})
	require.NoError(t, err)
	handler := pipeline.Middleware(flowhook.Login)(http.NotFoundHandler())
	post := func(from, email, device string) int {
		r := httptest.NewRequest("POST", "/", strings.NewReader(url.Values{"email": {email}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from
		if device != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-device", Value: device})
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	for i, from := range []string{"[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8::3%eth0]:3", "[2001:db8:0:0:1::]:4",
		"[2001:db8::1]:5"} {
		require.Equal(t, 404, post(from, " Alice", ""), i)
	}
	require.Equal(t, 429, post("[2001:db8::6]:1", "alice", ""))
	require.Contains(t, log.String(), `msg="too many attempts" at=login by=pair`)
	require.Equal(t, 404, post("[2001:db8::6]:1", "alice", "phone"))
	require.Equal(t, 429, post("[2001:db8::6]:1", "alice", "another"))
	require.Equal(t, 404, post("[2001:db8:0:1::6]:1", "alice", ""))
	for range 5 {
		require.Equal(t, 404, post("192.0.2.1:1", "alice", ""))
	}
	require.Equal(t, 429, post("[::ffff:192.0.2.1]:2", "alice", ""))
	require.Equal(t, 404, post("192.0.2.2:1", "alice", ""))
	require.Equal(t, 404, post("@", "alice", ""))
}
