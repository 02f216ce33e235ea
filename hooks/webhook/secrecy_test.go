package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// TestSecrecy plants canaries in the request, the session, the config and what the receiver
// answers. None of them is in a payload, a delivery, a log, an error or a finding.
func TestSecrecy(t *testing.T) {
	const canary = flowtest.Canary
	secret := "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" // shown by nothing, too
	var logged flowtest.LogBuffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(old)

	// The receiver echoes whatever it got, also where HTTP does not expect it.
	echo := func(w http.ResponseWriter, req *http.Request, code int) {
		for name, values := range req.Header {
			w.Header()["Echo-"+name] = values
		}
		w.Header().Set("Location", "https://"+canary+".example/?"+req.URL.RawQuery)
		w.WriteHeader(code)
		fmt.Fprintln(w, req.Header, req.RequestURI)
	}
	answers := map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, req *http.Request) { echo(w, req, 302) },
		"refusal":  func(w http.ResponseWriter, req *http.Request) { echo(w, req, 403) },
		"failure":  func(w http.ResponseWriter, req *http.Request) { echo(w, req, 500) },
		"success":  func(w http.ResponseWriter, req *http.Request) { echo(w, req, 200) },
		"malformed": func(w http.ResponseWriter, req *http.Request) {
			raw(w, "HTTP/1.1 "+req.Header.Get("X-Key")+" x\r\n\r\n")
		},
		"header": func(w http.ResponseWriter, req *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\n"+req.Header.Get("X-Key")+"\r\n\r\n")
		},
		"length": func(w http.ResponseWriter, req *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Length: "+req.Header.Get("X-Key")+"\r\n\r\n")
		},
		"chunk": func(w http.ResponseWriter, req *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+req.Header.Get("X-Key")+"\r\n")
		},
		"no HTTP": func(w http.ResponseWriter, req *http.Request) { raw(w, canary+"\r\n\r\n") },
		"nothing": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	keys := `id: secrecy, headers: {X-Key: ` + canary + `}, auth: {type: basic_auth, config: {user: u` + canary +
		`, password: ` + canary + `}}, secrets: ["` + secret + `"], forward_headers: [X-Request-Id, Referer]`
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			r := receive(t, answer)
			var queued []webhook.Delivery
			for _, outbox := range []bool{false, true} {
				hooks := r.hooks(t, showContext, func(o *webhook.Options) {
					if outbox {
						o.Outbox = func(_ context.Context, d webhook.Delivery) error { queued = append(queued, d); return nil }
					}
				})
				for _, c := range []struct{ phase, keys string }{
					{"after", keys + ", mode: gate"}, {"after", keys + ", mode: gate, on_error: continue"},
					{"after", keys + ", mode: notify"}, {"failed", keys + ", mode: notify"},
					{"after", keys + ", mode: notify, body: x"},
				} {
					text := loginFile(c.phase, "config: {url: '"+r.URL+"/"+canary+"?key="+canary+"', "+c.keys+"}")
					opts := options(hooks)
					opts.Logger = slog.Default()
					p, err := flowhook.New(parse(t, text), opts)
					require.NoError(t, err)
					x := planted()
					_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password,
						func(context.Context) error {
							if c.phase == "failed" {
								return errors.New(canary)
							}
							return nil
						})
					if err != nil && c.phase != "failed" {
						requireSilent(t, fmt.Sprintf("%v %+v", err, err), secret)
					}
					requireSilent(t, fmt.Sprint(p.Plan().Findings(), p.Plan()), secret)
				}
				for _, d := range queued {
					text, err := json.Marshal(d)
					require.NoError(t, err)
					requireSilent(t, string(text), secret)
					requireSilent(t, string(d.Body), secret)
					if err := hooks.Deliver(t.Context(), d); err != nil {
						requireSilent(t, fmt.Sprintf("%v %+v", err, err), secret)
					}
				}
			}
			require.NotEmpty(t, queued)
			calls := r.take()
			require.NotEmpty(t, calls)
			for _, c := range calls {
				requireSilent(t, c.body, secret)
				require.NotContains(t, c.Header, "Cookie")
				require.NotContains(t, fmt.Sprint(c.Header["Referer"], c.Header["X-Request-Id"]), canary)
			}
		})
	}
	// The cause of the failed flow is the host's: flowhook logs it, and not this hook.
	for _, line := range strings.Split(logged.String(), "\n") {
		if !strings.Contains(line, "flowhook: a hook at failed has answered") {
			requireSilent(t, line, secret)
		}
	}
}

func requireSilent(t *testing.T, text, secret string) {
	t.Helper()
	flowtest.RequireSilent(t, text, secret, strings.TrimPrefix(secret, "whsec_"))
}

// planted is an exchange with a canary in everything that must not leave the service.
func planted() *flowhook.Exchange {
	const canary = flowtest.Canary
	x := alice()
	r, _ := http.NewRequest(http.MethodPost, "https://u:"+canary+"@auth.example/login?token="+canary+"#"+canary,
		bytes.NewReader([]byte("password="+canary)))
	r.Header = http.Header{
		"Cookie": {"session=" + canary}, "Authorization": {"Bearer " + canary}, "X-Session-Token": {canary},
		"Referer": {"https://u:" + canary + "@auth.example/login?token=" + canary + "#" + canary}, "X-Csrf-Token": {canary},
		"X-Request-Id": {"request-1"}, "Proxy-Authorization": {canary}, "X-Other": {canary},
	}
	x.Request = r
	x.Session = &flowhook.Session{ID: canary, IdentityID: "alice", ExpiresAt: time.Now().Add(time.Hour)}
	x.Identity.Data = canary
	return x
}

// raw answers with text that need not be HTTP.
func raw(w http.ResponseWriter, text string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer c.Close()
	_, _ = io.WriteString(c, text)
}
