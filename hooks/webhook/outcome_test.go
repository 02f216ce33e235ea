package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/stretchr/testify/require"
)

// protocols are those that a receiver may speak.
var protocols = map[string][]func(s *httptest.Server){"HTTP/1.1": nil, "HTTP/2.0": {http2}}

// TestGate_Status calls a gate with every status, with and without a text for the user.
func TestGate_Status(t *testing.T) {
	const text = `{"error": {"code": "blocked", "message": "You are blocked.", "field": "email"}}`
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			var code atomic.Int64
			var body atomic.Value
			r := receive(t, func(w http.ResponseWriter, req *http.Request) {
				status(int(code.Load()), body.Load().(string))(w, req)
			}, change...)
			hooks := r.hooks(t)
			refuse := pipeline(t, hooks, loginFile("before", r.entry("attempts: 2")))
			resume := pipeline(t, hooks, loginFile("before", r.entry("attempts: 2, on_error: continue")))
			for c := 200; c <= 599; c++ {
				code.Store(int64(c))
				for _, withText := range []bool{false, true} {
					body.Store("")
					if withText && c != 204 && c != 304 { // these have no body
						body.Store(text)
					}
					calls, passes, refused, resumes := 1, false, 0, false
					switch {
					case c <= 299:
						passes, resumes = true, true
					case c <= 399:
						resumes = true
					case c == 408 || c == 429 || c >= 500:
						calls, resumes = 2, true
					case withText:
						refused = c
						if c == 401 || c == 407 {
							refused = 403
						}
					}
					name := fmt.Sprintf("%d, with a text: %t", c, withText)

					got := login(refuse)
					made := r.take()
					require.Len(t, made, calls, name)
					require.Equal(t, protocol, made[0].Proto)
					require.Equal(t, passes, got.Err == nil, "%s: %v", name, got.Err)
					require.Equal(t, refused != 0, got.Refusal != nil, "%s: %v", name, got.Err)
					if refused != 0 {
						require.Equal(t, flowhook.Refusal{Status: refused, Code: "blocked", Text: "You are blocked.",
							Field: "email", Err: got.Refusal.Err}, *got.Refusal, name)
					} else if !passes {
						require.ErrorIs(t, got.Err, webhook.ErrUnavailable, name)
						require.ErrorContains(t, got.Err, strconv.Itoa(c), name)
						require.Equal(t, 1, strings.Count(got.Err.Error(), "webhook: "), got.Err)
					}

					got = login(resume)
					require.Len(t, r.take(), calls, name)
					require.Equal(t, resumes, got.Err == nil, "%s: %v", name, got.Err)
				}
			}
		})
	}
}

// TestDeliver_Status delivers a notification to a receiver that answers with every status.
func TestDeliver_Status(t *testing.T) {
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			var code atomic.Int64
			r := receive(t, func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Retry-After", "7")
				status(int(code.Load()), "")(w, req)
			}, change...)
			hooks := r.hooks(t)
			d := queued(t, hooks, r.entry("mode: notify"))
			for c := 200; c <= 599; c++ {
				code.Store(int64(c))
				err := hooks.Deliver(t.Context(), d)
				require.Len(t, r.take(), 1, c)
				var retry *webhook.RetryError
				switch {
				case c <= 299:
					require.NoError(t, err, c)
				case c == 408 || c == 429 || c >= 500:
					require.ErrorAs(t, err, &retry, c)
					require.Equal(t, 7*time.Second, retry.After, c)
					require.NotErrorIs(t, err, webhook.ErrRejected, c)
				default:
					require.ErrorIs(t, err, webhook.ErrRejected, c)
					require.NotErrorAs(t, err, &retry, c)
				}
			}
		})
	}
}

// queued makes the hook of an entry at after of login, and returns a delivery for it.
func queued(t testing.TB, hooks *webhook.Webhook, entry string) webhook.Delivery {
	var d webhook.Delivery
	text := loginFile("after", strings.Replace(entry, "config: {", "config: {id: queued, ", 1))
	require.Empty(t, loadError(t, hooks, text))
	d.ID, d.Hook, d.Body, d.ContentType = "msg_1", "login/after queued", []byte(`{"some": "body"}`), "application/json"
	return d
}

// TestGate_Body answers with every kind of body.
func TestGate_Body(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			for name, c := range map[string]struct {
				answer http.HandlerFunc
				calls  int
				passes bool
				text   string
			}{
				"none":         {status(200, ""), 1, true, ""},
				"small":        {status(200, "ok"), 1, true, ""},
				"64 KiB":       {status(200, huge[:64<<10]), 1, true, ""},
				"a byte more":  {status(200, huge[:64<<10+1]), 1, false, "more than 64 KiB"},
				"huge":         {status(200, huge), 1, false, "more than 64 KiB"},
				"huge refusal": {status(403, huge), 1, false, "the receiver answered 403"},
				"half": {func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "100")
					_, _ = io.WriteString(w, "half")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}, 3, false, "ended before"},
				"aborted": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 3, false, ""},
				"endless": {func(w http.ResponseWriter, _ *http.Request) {
					for {
						if _, err := io.WriteString(w, huge); err != nil {
							return
						}
					}
				}, 1, false, "more than 64 KiB"},
			} {
				t.Run(name, func(t *testing.T) {
					r := receive(t, c.answer, change...)
					got := login(pipeline(t, r.hooks(t), loginFile("before", r.entry("mode: gate"))))
					require.Len(t, r.take(), c.calls)
					require.Equal(t, c.passes, got.Err == nil, "%v", got.Err)
					if !c.passes {
						require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
						if protocol == "HTTP/1.1" || name != "half" { // the error of a stream says less
							require.ErrorContains(t, got.Err, c.text)
						}
					}
				})
			}
		})
	}
}

// TestGate_NoWithoutText asserts that a 4xx is a no, whatever becomes of its text: on_error does not
// let the flow go on.
func TestGate_NoWithoutText(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"huge": status(403, strings.Repeat("x", 1<<20)),
		"half": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusForbidden)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		for protocol, change := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				r := receive(t, answer, change...)
				got := login(pipeline(t, r.hooks(t), loginFile("before", r.entry("mode: gate, on_error: continue"))))
				require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
				require.ErrorContains(t, got.Err, "the receiver answered 403")
				require.Len(t, r.take(), 1)
			})
		}
	}
}

// TestGate_SwitchingProtocols asserts that a receiver cannot keep the hook by taking over the
// connection.
func TestGate_SwitchingProtocols(t *testing.T) {
	release := make(chan struct{})
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		<-release
	})
	defer close(release)
	got := login(pipeline(t, r.hooks(t), loginFile("before", r.entry("mode: gate"))))
	require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
	require.ErrorContains(t, got.Err, "the receiver answered 101")
}

// TestGate_Late calls receivers that answer late or never. The hook decides before the entry's
// timeout, so that on_error applies.
func TestGate_Late(t *testing.T) {
	for protocol, change := range protocols {
		for name, begins := range map[string]bool{"never answers": false, "never ends": true} {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := receive(t, func(w http.ResponseWriter, req *http.Request) {
					if begins {
						_, _ = io.WriteString(w, "so far")
						_ = http.NewResponseController(w).Flush()
					}
					<-req.Context().Done()
				}, change...)
				hooks := r.hooks(t)
				limit := "timeout: 2s, "
				got := login(pipeline(t, hooks, loginFile("before", limit+r.entry("mode: gate"))))
				require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
				require.ErrorContains(t, got.Err, "no answer in time")
				require.NotContains(t, got.Err.Error(), "not done within its timeout", "the hook itself was late")
				require.Len(t, r.take(), 1)

				got = login(pipeline(t, hooks, loginFile("before", limit+r.entry("on_error: continue"))))
				require.NoError(t, got.Err)
				require.Len(t, r.take(), 1)
			})
		}
	}
}

// TestGate_Budget keeps failing, with waits as in production. The attempts end within the timeout,
// and the hook itself ends them.
func TestGate_Budget(t *testing.T) {
	r := receive(t, status(503, ""))
	hooks, err := webhook.New(webhook.Options{Allow: loopback, Ports: []uint16{r.port(t)}, Client: r.Client()})
	require.NoError(t, err)
	hooks.CloseIdle(t)
	got := login(pipeline(t, hooks, loginFile("before", "timeout: 1s, "+r.entry("attempts: 10"))))
	require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
	require.NotContains(t, got.Err.Error(), "not done within its timeout")
	require.LessOrEqual(t, len(r.take()), 5, "0.05, 0.1, 0.2 and 0.4 s are the shortest waits")
}

// TestGate_Slow calls receivers that are slow, but in time.
func TestGate_Slow(t *testing.T) {
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
				for range 20 {
					_, _ = io.WriteString(w, ".")
					_ = http.NewResponseController(w).Flush()
				}
			}, change...)
			got := login(pipeline(t, r.hooks(t), loginFile("before", "timeout: 1m, "+r.entry("mode: gate"))))
			require.NoError(t, got.Err)
			require.Len(t, r.take(), 1)
		})
	}
}

// TestGate_Deadline asserts that the requests of an entry carry its budget.
func TestGate_Deadline(t *testing.T) {
	deadlines := make(chan time.Duration, 1)
	body := func(string) (func(any) ([]byte, error), error) {
		return func(any) ([]byte, error) { return nil, webhook.ErrCanceled }, nil
	}
	r := receive(t, nil)
	describe := func(ctx context.Context, _ *flowhook.Exchange) (any, error) {
		deadline, _ := ctx.Deadline()
		deadlines <- time.Until(deadline)
		return nil, nil
	}
	hooks := r.hooks(t, func(o *webhook.Options) { o.Body, o.Describe = body, describe })
	got := login(pipeline(t, hooks, loginFile("before", "timeout: 9s, "+r.entry("body: x"))))
	require.NoError(t, got.Err)
	require.Empty(t, r.take(), "the body has canceled the call")
	left := <-deadlines
	require.Greater(t, left, time.Second)
	require.LessOrEqual(t, left, 9*time.Second)
}

// TestGate_Retries asserts that attempts differ only in their timestamp and signature.
func TestGate_Retries(t *testing.T) {
	now := time.Now()
	var n atomic.Int64
	var hooks *webhook.Webhook
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	hooks = r.hooks(t)
	hooks.SetNow(func() time.Time { return now.Add(time.Duration(n.Load()) * time.Second) })
	rig := pipeline(t, hooks, loginFile("before", r.entry("attempts: 5, secrets: ["+secretOne+"]")))
	require.NoError(t, login(rig).Err)
	calls := r.take()
	require.Len(t, calls, 4)
	stamps, signatures := map[string]bool{}, map[string]bool{}
	for _, c := range calls {
		require.Equal(t, calls[0].Header.Get("webhook-id"), c.Header.Get("webhook-id"))
		require.Equal(t, calls[0].body, c.body)
		stamps[c.Header.Get("webhook-timestamp")] = true
		signatures[c.Header.Get("webhook-signature")] = true
	}
	require.Len(t, stamps, 4)
	require.Len(t, signatures, 4)
	require.NoError(t, login(rig).Err)
	require.NotEqual(t, calls[0].Header.Get("webhook-id"), r.take()[0].Header.Get("webhook-id"))
}

// TestGate_RetryAfter asserts that a wait beyond the budget is not begun.
func TestGate_RetryAfter(t *testing.T) {
	for value, calls := range map[string]int{
		"3600": 1, "2147483647": 1, "Fri, 31 Dec 2999 23:59:59 GMT": 1, "0": 3, "": 3, "soon": 3, "-1": 3,
		"Fri, 31 Dec 1999 23:59:59 GMT": 3, "99999999999999999999": 3,
	} {
		t.Run(value, func(t *testing.T) {
			r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", value)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			got := login(pipeline(t, r.hooks(t), loginFile("before", "timeout: 1h, "+r.entry("attempts: 3"))))
			require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
			require.Len(t, r.take(), calls)
		})
	}
}

// TestGate_Reuse asserts that connections are reused.
func TestGate_Reuse(t *testing.T) {
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			r := receive(t, status(200, strings.Repeat("x", 60<<10)), change...)
			rig := pipeline(t, r.hooks(t), loginFile("before", r.entry("mode: gate")))
			peers := map[string]bool{}
			for range 10 {
				require.NoError(t, login(rig).Err)
			}
			for _, c := range r.take() {
				peers[c.RemoteAddr] = true
			}
			require.Len(t, peers, 1)
		})
	}
}

// TestGate_Canceled asserts that a client that has gone is not a failure of the receiver.
func TestGate_Canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := receive(t, func(_ http.ResponseWriter, req *http.Request) {
		cancel()
		<-req.Context().Done()
	})
	rig := pipeline(t, r.hooks(t), loginFile("before", r.entry("on_error: continue")))
	x := alice()
	x.Request = httptest.NewRequestWithContext(ctx, http.MethodPost, "/login", bytes.NewReader(nil))
	got := rig.Run(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Before}, x)
	require.ErrorIs(t, got.Err, context.Canceled)
	require.NotErrorIs(t, got.Err, webhook.ErrUnavailable)
	require.Len(t, r.take(), 1)
}
