package webhook_test

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// quiet discards what a receiver logs.
var quiet = log.New(io.Discard, "", 0)

// loopback is where the receivers of the tests are.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// A call is a request that a receiver got.
type call struct {
	*http.Request
	body string
}

// A receiver is a server that records calls.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
}

// receive starts a receiver. A nil answer is 204.
func receive(t testing.TB, answer http.HandlerFunc, change ...func(s *httptest.Server)) *receiver {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.calls = append(r.calls, call{req, string(body)})
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, req)
	}))
	r.Config.ErrorLog = quiet
	for _, c := range change {
		c(r.Server)
	}
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func http2(s *httptest.Server) { s.EnableHTTP2 = true }

// take returns the calls since the last take.
func (r *receiver) take() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

func (r *receiver) port(t testing.TB) uint16 {
	u, err := url.Parse(r.URL)
	require.NoError(t, err)
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	require.NoError(t, err)
	return uint16(port)
}

// hooks returns a Webhook that may call the receiver and does not wait between attempts.
func (r *receiver) hooks(t testing.TB, change ...func(o *webhook.Options)) *webhook.Webhook {
	opts := webhook.Options{Allow: loopback, Ports: []uint16{r.port(t)}, Client: r.Client()}
	return newHooks(t, opts, change...)
}

func newHooks(t testing.TB, opts webhook.Options, change ...func(o *webhook.Options)) *webhook.Webhook {
	for _, c := range change {
		c(&opts)
	}
	hooks, err := webhook.New(opts)
	require.NoError(t, err)
	hooks.NoWait()
	hooks.CloseIdle(t)
	return hooks
}

// status answers with a status and a body.
func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// loginFile is a file with one entry at a phase of login. The rest of the entry is in flow style,
// as in "timeout: 2s, config: {url: ...}".
func loginFile(phase, rest string) string {
	return fmt.Sprintf("selfservice: {flows: {login: {%s: {hooks: [{hook: web_hook, %s}]}}}}\n", phase, rest)
}

// entry returns the config of an entry that calls the receiver with further keys.
func (r *receiver) entry(keys string) string {
	return "config: {url: '" + r.URL + "/hook?key=in-url', " + keys + "}"
}

func options(hooks *webhook.Webhook) flowhook.Options {
	return flowhook.Options{Hooks: map[string]flowhook.HookFactory{"web_hook": hooks.Factory}}
}

func parse(t testing.TB, text string) *flowhook.Config {
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	return cfg
}

// pipeline returns a rig for a file.
func pipeline(t testing.TB, hooks *webhook.Webhook, text string) *hooktest.Rig {
	return hooktest.NewWith(t, parse(t, text), options(hooks))
}

// loadError returns why a file does not load, or "".
func loadError(t testing.TB, hooks *webhook.Webhook, text string) string {
	_, err := flowhook.New(parse(t, text), options(hooks))
	if err == nil {
		return ""
	}
	return err.Error()
}

// alice is the exchange of a user.
func alice() *flowhook.Exchange {
	return &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{
		{Via: "email", Value: "alice@example.org", Verified: true}}}}
}

// login completes a login of alice, with a save that does nothing.
func login(rig *hooktest.Rig) *hooktest.Result {
	return rig.Complete(flowhook.Login, flowhook.Password, alice(), nil)
}

// rules returns the rules of the findings about a file, with their severity, without the name of
// the hook.
func rules(t testing.TB, hooks *webhook.Webhook, text string) []string {
	list := []string{}
	for _, f := range parse(t, text).Check(options(hooks)) {
		if rule, ok := strings.CutPrefix(f.Rule, "web_hook/"); ok {
			list = append(list, fmt.Sprintf("%s %s %s", f.Severity, rule, cmp.Or(last(f.Path), "-")))
		}
	}
	return list
}

// last returns what follows the entry in a path.
func last(path string) string {
	_, rest, _ := strings.Cut(path, "].")
	return rest
}
